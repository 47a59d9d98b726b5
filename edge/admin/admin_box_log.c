/*
 * The output of a box over the admin API: the exchange waits for the answer of the box's provider. The
 * address below /v1/processes serves only process boxes.
 */
#include <assert.h>

#include "admin_internal.h"
#include "arena.h"
#include "list.h"
#include "local.h"
#include "utf8.h"

/* Lines of a log in one answer by default. */
#define LINES_DEFAULT 200

static const char boxes[] = "/v1/boxes/", processes[] = "/v1/processes/";

/* An exchange that waits for a log; lives in the exchange's arena. */
typedef struct waiter {
    provider_question_t question;
    exchange_t *ex;
    box_provider_t kind;
    char id[BOX_ID_MAX + 1];
} waiter_t;

/* The last `lines` lines of `text`; a last line without an end counts. */
static str_t last_lines(str_t text, uint64_t lines)
{
    size_t from = text.n;
    for (; from > 0; from--)
        if (from != text.n && text.p[from - 1] == '\n' && --lines == 0)
            break;
    return str_from_offset(text, from);
}

/* Replaces NUL and invalid UTF-8 by U+FFFD. */
static json_t *text_json(str_t text)
{
    static const char unknown[] = "\xef\xbf\xbd";
    char *out = malloc(text.n * (sizeof(unknown) - 1) + 1);
    size_t used = 0;
    assert(out != NULL);
    while (text.n > 0) {
        size_t n = text.p[0] != '\0' ? utf8_sequence(text) : 0;
        memcpy(out + used, n > 0 ? text.p : unknown, n > 0 ? n : sizeof(unknown) - 1);
        used += n > 0 ? n : sizeof(unknown) - 1;
        text = str_from_offset(text, n > 0 ? n : 1);
    }
    json_t *json = json_stringn(out, used);
    free(out);
    assert(json != NULL);
    return json;
}

/* ---- the provider's answer ---- */

static const char *unavailable_code(box_provider_t kind)
{
    return kind == PROVIDER_PROCESS ? "runner_unavailable" : "engine_unavailable";
}

static void refuse_unknown(exchange_t *ex, const char *id)
{
    admin_error(ex, 404, "no_such_box", NULL, "The edge does not know the box %s.", id);
}

static void reply_log(waiter_t *waiter, const provider_words_t *words)
{
    uint64_t lines = waiter->question.lines;
    str_t text = waiter->question.from == 0 ? last_lines(words->text, lines) : words->text;
    json_t *body =
        json_pack("{s:s,s:s,s:o,s:I}", "box", waiter->id, "provider", store_provider_name(waiter->kind),
                  "text", text_json(text), "end", (json_int_t)words->end);
    assert(body != NULL);
    admin_reply(waiter->ex, 200, body);
}

static void on_answer(provider_question_t *question, const provider_words_t *words)
{
    waiter_t *waiter = CONTAINER_OF(waiter_t, question, question);
    exchange_t *ex = waiter->ex;
    local_wait_end(ex);
    switch (words->result) {
    case PROVIDER_OK:
        reply_log(waiter, words);
        break;
    case PROVIDER_GONE:
        refuse_unknown(ex, waiter->id);
        break;
    case PROVIDER_FAILED:
        admin_error(ex, 409, "log_unreadable", NULL, "%s", words->sentence);
        break;
    case PROVIDER_UNAVAILABLE:
        admin_error(ex, 503, unavailable_code(waiter->kind), NULL, "%s", words->sentence);
        break;
    }
}

static void client_left(void *arg)
{
    waiter_t *waiter = arg;
    waiter->question.provider->forget(waiter->question.provider, &waiter->question);
}

/* ---- requests ---- */

static void refuse_without_log(exchange_t *ex, const char *id, box_provider_t kind)
{
    admin_error(
        ex, 409, "no_log", NULL,
        "The edge cannot read the log of box %s, a box of %s. Read it on the machine where the box runs.", id,
        kind == PROVIDER_HTTP ? "the control plane" : "`boxes` in the configuration");
}

static void request_log(exchange_t *ex, waiter_t *waiter, provider_t *provider)
{
    if (!provider->log(provider, str_from(waiter->id), &waiter->question))
        admin_error(ex, 503, unavailable_code(waiter->kind), NULL,
                    "The log of box %s cannot be read now: try again in a moment.", waiter->id);
    else
        local_wait(ex, client_left, waiter);
}

/* "lines=N" or "from=N": the last N lines, or the text after a position. */
static bool take_query(str_t query, uint64_t *from, uint64_t *lines)
{
    *from = 0;
    *lines = LINES_DEFAULT;
    if (query.n == 0)
        return true;
    if (str_starts(query, STR("lines=")))
        return str_to_uint(str_from_offset(query, 6), INT32_MAX, lines) && *lines > 0;
    *lines = UINT64_MAX; /* from position 0: the whole log */
    return str_starts(query, STR("from=")) && str_to_uint(str_from_offset(query, 5), INT64_MAX, from);
}

static void begin(exchange_t *ex, str_t id, str_t query, bool of_process)
{
    const admin_t *admin = admin_of(ex);
    waiter_t *waiter = arena_alloc(&ex->arena, sizeof(*waiter));
    *waiter = (waiter_t){.question = {.answered = on_answer}, .ex = ex};
    if (!take_query(query, &waiter->question.from, &waiter->question.lines)) {
        admin_error(ex, 400, "bad_query", NULL, "A log takes lines=N, or from=POSITION.");
        return;
    }
    if (!admin_take_id(waiter->id, id)) {
        admin_error(ex, 400, "bad_id", NULL, "This is not the id of a box.");
        return;
    }
    provider_t *provider;
    bool known = admin->controls->find_box(admin->owner, id, &waiter->kind, &provider);
    if (of_process && !(known && waiter->kind == PROVIDER_PROCESS))
        admin_no_such_process(ex, waiter->id);
    else if (!known)
        refuse_unknown(ex, waiter->id);
    else if (!store_keeps_log(waiter->kind) || provider == NULL)
        refuse_without_log(ex, waiter->id, waiter->kind);
    else if (waiter->kind == PROVIDER_PROCESS && admin->controls->is_guest(admin->owner, id))
        admin_error(ex, 409, "no_log", NULL, "The output of box %s is where `boxedge dev` runs.", waiter->id);
    else
        request_log(ex, waiter, provider);
}

void admin_box_log(exchange_t *ex, str_t body, void *arg)
{
    str_t id, verb, query;
    (void)body;
    (void)arg;
    bool of_process = str_starts(ex->request.target, str_from(processes));
    str_t rest = str_from_offset(ex->request.target, of_process ? strlen(processes) : strlen(boxes));
    if (admin_take_verb(rest, &id, &verb, &query) && str_eq(verb, STR("log")))
        begin(ex, id, query, of_process);
    else
        admin_no_such_address(ex);
}
