#include "api_query.h"

#include <assert.h>

#include "arena.h"
#include "pipeline.h"
#include "step.h"
#include "worker.h"

/* Of the caller's fields: its key, and others that cannot name a box. */
static bool is_of_query(field_id_t id)
{
    return id == FIELD_X_BOX_API_KEY || id == FIELD_AUTHORIZATION || id == FIELD_USER_AGENT ||
           id == FIELD_ORIGIN || id == FIELD_TRACEPARENT || id == FIELD_TRACESTATE;
}

fields_t api_query_fields(exchange_t *ex)
{
    fields_t fields = {0};
    for (uint32_t i = 0; i < ex->request.fields.count; i++) {
        const field_t *field = &ex->request.fields.at[i];
        if (is_of_query(field->id))
            fields_add(&ex->arena, &fields, field->id, field->name, field->value);
    }
    fields_add(&ex->arena, &fields, FIELD_ACCEPT, STR("accept"), STR("application/json"));
    return fields;
}

subrequest_t *api_query(exchange_t *ex, str_t method, str_t target, subrequest_done_t done, void *arg)
{
    fields_t fields = api_query_fields(ex);
    return subrequest_start(ex, ex->context->pipeline->api_upstream, method, target, &fields, done, arg);
}

/* ---- several requests ---- */

static void query_more(api_questions_t *questions);

static void on_answer(exchange_t *ex, void *arg, int status, const fields_t *fields, str_t body)
{
    api_question_t *question = arg;
    api_questions_t *all = question->all;
    question->all = NULL;
    question->request = NULL;
    all->answered++;
    if (!all->answer(ex, question->index, status, fields, body))
        return;
    if (all->answered == all->count)
        all->done(ex);
    else
        query_more(all);
}

static void query_more(api_questions_t *questions)
{
    size_t most = questions->answered == 0 ? 1 : API_QUERIES_AT_ONCE;
    for (size_t i = 0; i < most && questions->queried < questions->count; i++) {
        api_question_t *question = &questions->at[i];
        if (question->all != NULL)
            continue;
        *question = (api_question_t){.all = questions, .index = questions->queried++};
        question->request =
            api_query(questions->ex, STR("GET"), questions->paths[question->index], on_answer, question);
    }
}

void api_query_each(api_questions_t *questions, exchange_t *ex, const str_t *paths, size_t count,
                    api_answer_t *answer, void (*done)(exchange_t *ex))
{
    assert(count != 0 && questions->answered == questions->count);
    *questions = (api_questions_t){.ex = ex, .paths = paths, .count = count, .answer = answer, .done = done};
    query_more(questions);
}

void api_query_stop(api_questions_t *questions)
{
    for (size_t i = 0; i < API_QUERIES_AT_ONCE; i++)
        subrequest_cancel(&questions->at[i].request);
}

/* ---- answers ---- */

/* RFC 3986 section 2.3. */
static bool is_unreserved(char c)
{
    char l = str_lower(c);
    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

str_t api_box_path(exchange_t *ex, str_t name)
{
    static const str_t prefix = {"/v2/box/", 8};
    static const char digits[] = "0123456789ABCDEF";
    char *out = arena_alloc(&ex->arena, prefix.n + 3 * name.n);
    size_t n = prefix.n;
    memcpy(out, prefix.p, prefix.n);
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (is_unreserved((char)c)) {
            out[n++] = (char)c;
            continue;
        }
        out[n++] = '%';
        out[n++] = digits[c >> 4];
        out[n++] = digits[c & 15];
    }
    return str_make(out, n);
}

static bool is_passed_on(const field_t *field)
{
    return field->id == FIELD_LOCATION ||
           (field->id == FIELD_OTHER &&
            (str_ieq(field->name, STR("retry-after")) || str_ieq(field->name, STR("www-authenticate"))));
}

void api_pass_on(exchange_t *ex, int status, const fields_t *fields, str_t body)
{
    fields_t passed = {0};
    if (status == 0) {
        exchange_reply_error(ex, 502, "bad_response", "The API's answer about this box cannot be used.", 0);
        return;
    }
    ex->local_code = "upstream_refused";
    for (uint32_t i = 0; i < fields->count; i++)
        if (is_passed_on(&fields->at[i]))
            fields_add(&ex->arena, &passed, fields->at[i].id, fields->at[i].name, fields->at[i].value);
    exchange_add_own_fields(ex, &passed);
    exchange_reply(ex, status, fields_value(fields, FIELD_CONTENT_TYPE), &passed,
                   status == 204 || status == 304 ? str_make(NULL, 0) : body);
}
