/*
 * A call waits in the queue, flies, or waits for a retry. One task at the end of the turn lets calls fly, so
 * that no answer comes from within.
 */
#include "control_calls.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "control_box.h"
#include "deadline.h"
#include "list.h"
#include "process_log.h"
#include "retry.h"
#include "token_file.h"

#define URL_MAX 4096
/* Minimum interval of log lines about failures. */
#define LOG_MS 1000

typedef enum call_state {
    CALL_QUEUED,
    CALL_FLYING,
    CALL_WAITING, /* for a retry */
    CALL_ENDING,  /* `done` is running */
} call_state_t;

struct control_calls {
    loop_t *loop;
    fetcher_t *fetcher;
    random_source_t *random;
    const conf_t *conf;
    char token[TOKEN_FILE_MAX + 1]; /* empty: none */
    bool token_failed;              /* the token is configured, but unreadable: no calls */
    breaker_t breaker;
    list_t queue;
    list_t others; /* flying or waiting */
    size_t flying;
    size_t count;
    uint64_t logged_ms; /* loop_now of the last log line; 0: never */
    loop_task_t task;
};

struct control_call {
    control_calls_t *calls;
    list_t link;
    call_state_t state;
    char method[8];
    char path[CONTROL_PATH_MAX + 1];
    char *body;
    size_t body_len;
    unsigned tries; /* left */
    unsigned failures;
    uint64_t until_ms;
    bool probe; /* it is the breaker's probe */
    fetch_t *fetch;
    deadline_t retry;
    control_done_t *done;
    void *owner;
};

static void on_task(loop_task_t *task);

/* ---- the token ---- */

void control_calls_set_conf(control_calls_t *calls, const conf_t *conf)
{
    const char *path = conf->control_plane.token_file;
    calls->conf = conf;
    OPENSSL_cleanse(calls->token, sizeof(calls->token));
    calls->token_failed = path[0] != '\0' && !token_file_read(path, calls->token);
    if (calls->token_failed)
        process_log(LOG_CONTROL_PLANE_TOKEN, "controller", "the control plane's token cannot be read from %s",
                    path);
}

/* ---- log ---- */

static void log_failure(control_calls_t *calls, const control_call_t *call, const char *why)
{
    uint64_t now = loop_now(calls->loop);
    if (calls->logged_ms != 0 && now < calls->logged_ms + LOG_MS)
        return;
    calls->logged_ms = now;
    process_log(LOG_CONTROL_PLANE_FAILED, "controller", "control plane: %s %s failed: %s", call->method,
                call->path, why);
}

static void record_result(control_calls_t *calls, control_call_t *call, bool ok)
{
    breaker_t *breaker = &calls->breaker;
    bool was_closed = breaker->state == BREAKER_CLOSED;
    if (ok)
        breaker_succeeded(breaker);
    else
        breaker_failed(breaker, loop_now(calls->loop), call->probe);
    call->probe = false;
    if (was_closed && breaker->state != BREAKER_CLOSED)
        process_log(LOG_CONTROL_PLANE_PAUSED, "controller",
                    "the control plane failed %d times in a row: calls to it pause for a while",
                    BREAKER_FAILURES);
    else if (!was_closed && breaker->state == BREAKER_CLOSED)
        process_log(LOG_CONTROL_PLANE_BACK, "controller", "the control plane answers again");
}

/* ---- states ---- */

static void unlink_call(control_call_t *call)
{
    list_unlink(&call->link);
    if (call->state == CALL_FLYING)
        call->calls->flying--;
}

static void set_state(control_call_t *call, call_state_t state)
{
    control_calls_t *calls = call->calls;
    assert(call->state != CALL_ENDING);
    unlink_call(call);
    call->state = state;
    list_insert(state == CALL_QUEUED ? &calls->queue : &calls->others, &call->link);
    if (state == CALL_FLYING)
        calls->flying++;
    loop_defer(calls->loop, &calls->task, on_task);
}

static void call_free(control_call_t *call)
{
    deadline_clear(&call->retry);
    fetch_cancel(&call->fetch);
    free(call->body);
    free(call);
}

/* Takes the call out of all lists; the caller frees it. */
static void call_leave(control_call_t *call)
{
    control_calls_t *calls = call->calls;
    breaker_given_up(&calls->breaker, loop_now(calls->loop), call->probe);
    call->probe = false;
    unlink_call(call);
    calls->count--;
    loop_defer(calls->loop, &calls->task, on_task);
    call->state = CALL_ENDING;
}

static bool call_end(control_call_t *call, const control_answer_t *answer)
{
    call_leave(call);
    bool ok = call->done(call->owner, answer);
    call_free(call);
    return ok;
}

static void fail(control_call_t *call, const char *sentence)
{
    control_answer_t answer = {.sentence = sentence};
    (void)call_end(call, &answer);
}

/* ---- a try ---- */

static void on_retry(deadline_t *deadline)
{
    control_call_t *call = CONTAINER_OF(control_call_t, retry, deadline);
    set_state(call, CALL_QUEUED);
}

/* Retries after a delay, or fails the call. */
static void try_again(control_call_t *call, uint32_t retry_after, const char *sentence)
{
    control_calls_t *calls = call->calls;
    uint16_t random;
    uint32_t ms;
    random_bytes(calls->random, (unsigned char *)&random, sizeof(random));
    uint64_t now = loop_now(calls->loop);
    call->failures++;
    if (--call->tries == 0 || breaker_is_open(&calls->breaker, now) ||
        !retry_delay(call->failures, retry_after, random, &ms) || now + ms >= call->until_ms) {
        fail(call, sentence);
        return;
    }
    set_state(call, CALL_WAITING);
    deadline_set(calls->loop, &call->retry, now + ms, on_retry);
}

static void on_fetched(void *owner, const fetch_result_t *result)
{
    control_call_t *call = owner;
    control_calls_t *calls = call->calls;
    char sentence[96];
    call->fetch = NULL;
    if (result->status == 0) {
        log_failure(calls, call, result->error);
        record_result(calls, call, false);
        try_again(call, 0, "The control plane that knows the box cannot be reached.");
        return;
    }
    if (result->status >= 500 || result->status == 429) {
        (void)snprintf(sentence, sizeof(sentence), "The control plane answers with status %d.",
                       result->status);
        log_failure(calls, call, sentence);
        /* A server that limits its callers is healthy. */
        record_result(calls, call, result->status == 429);
        try_again(call, result->retry_after, sentence);
        return;
    }
    /* The owner's verdict counts; the call is freed by then. */
    control_call_t ended = {.probe = call->probe};
    call->probe = false;
    control_answer_t answer = {.status = result->status, .body = result->body};
    record_result(calls, &ended, call_end(call, &answer));
}

static const fetch_handlers_t fetch_handlers = {.done = on_fetched};

static void fly(control_call_t *call)
{
    control_calls_t *calls = call->calls;
    char url[URL_MAX];
    uint64_t left = call->until_ms - loop_now(calls->loop);
    uint32_t timeout = calls->conf->control_plane.timeout;
    const char *ca_file = calls->conf->control_plane.ca_file;
    int n = snprintf(url, sizeof(url), "%s%s", calls->conf->control_plane.url, call->path);
    if (n < 0 || (size_t)n >= sizeof(url) || calls->token_failed) {
        fail(call, calls->token_failed ? "The edge's token for the control plane cannot be read."
                                       : "The control plane's address is too long.");
        return;
    }
    fetch_request_t request = {
        .method = call->method,
        .url = url,
        .bearer = calls->token[0] != '\0' ? calls->token : NULL,
        .ca_file = ca_file[0] != '\0' ? ca_file : NULL,
        .body = str_make(call->body, call->body_len),
        .timeout_ms = left < timeout ? (uint32_t)left : timeout,
        .most = CONTROL_BOX_BYTES_MAX,
        .fresh = call->failures > 0, /* kept connections may be the cause of the failure */
    };
    bool allowed = breaker_allows(&calls->breaker, loop_now(calls->loop), &call->probe);
    assert(allowed);
    set_state(call, CALL_FLYING);
    call->fetch = fetch_start(calls->fetcher, &request, &fetch_handlers, call);
}

/* Lets calls fly, or fails them while none may. */
static void on_task(loop_task_t *task)
{
    control_calls_t *calls = CONTAINER_OF(control_calls_t, task, task);
    uint64_t now = loop_now(calls->loop);
    while (!list_is_empty(&calls->queue)) {
        control_call_t *call = CONTAINER_OF(control_call_t, link, calls->queue.next);
        if (now >= call->until_ms)
            fail(call, "The control plane did not answer in time.");
        else if (breaker_is_open(&calls->breaker, now))
            fail(call, "The control plane that knows the box cannot be reached; the edge tries again soon.");
        else if (calls->flying < CONTROL_FLYING_MAX)
            fly(call);
        else
            return; /* each end of a call defers this task */
    }
}

/* ---- calls ---- */

control_call_t *control_call(control_calls_t *calls, const control_request_t *request, control_done_t *done,
                             void *owner)
{
    assert(strlen(request->method) < 8 && strlen(request->path) <= CONTROL_PATH_MAX && request->tries > 0);
    if (calls->count == CONTROL_CALLS_MAX)
        return NULL;
    control_call_t *call = calloc(1, sizeof(*call));
    assert(call != NULL);
    *call = (control_call_t){.calls = calls,
                             .state = CALL_QUEUED,
                             .tries = request->tries,
                             .until_ms = request->until_ms,
                             .done = done,
                             .owner = owner,
                             .body_len = request->body.n};
    (void)snprintf(call->method, sizeof(call->method), "%s", request->method);
    (void)snprintf(call->path, sizeof(call->path), "%s", request->path);
    if (request->body.n > 0) {
        call->body = malloc(request->body.n);
        assert(call->body != NULL);
        memcpy(call->body, request->body.p, request->body.n);
    }
    calls->count++;
    list_insert(&calls->queue, &call->link);
    loop_defer(calls->loop, &calls->task, on_task);
    return call;
}

void control_call_cancel(control_call_t **call)
{
    control_call_t *c = *call;
    *call = NULL;
    if (c == NULL || c->state == CALL_ENDING)
        return;
    call_leave(c);
    call_free(c);
}

/* ---- life ---- */

control_calls_t *control_calls_new(loop_t *loop, fetcher_t *fetcher, random_source_t *random,
                                   const conf_t *conf)
{
    control_calls_t *calls = calloc(1, sizeof(*calls));
    assert(calls != NULL);
    *calls = (control_calls_t){.loop = loop, .fetcher = fetcher, .random = random};
    list_init(&calls->queue);
    list_init(&calls->others);
    control_calls_set_conf(calls, conf);
    return calls;
}

static void give_up_all(list_t *list)
{
    while (!list_is_empty(list)) {
        control_call_t *call = CONTAINER_OF(control_call_t, link, list->next);
        control_call_cancel(&call);
    }
}

void control_calls_free(control_calls_t **calls)
{
    control_calls_t *c = *calls;
    *calls = NULL;
    if (c == NULL)
        return;
    give_up_all(&c->queue);
    give_up_all(&c->others);
    loop_undefer(&c->task);
    OPENSSL_cleanse(c->token, sizeof(c->token));
    free(c);
}
