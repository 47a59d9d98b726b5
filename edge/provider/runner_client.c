#include "runner_client.h"

#include <assert.h>
#include <stdlib.h>

#include "bytes.h"
#include "channel.h"
#include "list.h"
#include "memfile.h"

typedef struct pending {
    list_t link; /* runner_client_t.pending */
    runner_client_t *owner;
    uint64_t number;
    runner_answered_t done; /* NULL: no answer wanted */
    void *arg;
    loop_timer_t timer;
} pending_t;

struct runner_client {
    loop_t *loop;
    channel_t *channel; /* NULL: no runner */
    const runner_client_handlers_t *handlers;
    void *owner;
    loop_task_t report_up;
    list_t pending;
    size_t pending_count;
    uint64_t last_number;
};

static void finish(pending_t *pending, const runner_answer_t *answer)
{
    runner_client_t *client = pending->owner;
    list_unlink(&pending->link);
    loop_timer_stop(&pending->timer);
    client->pending_count--;
    if (pending->done != NULL)
        pending->done(pending->arg, answer);
    free(pending);
}

/* Moves the list first: `done` may add questions. */
static void finish_all(runner_client_t *client)
{
    static const runner_answer_t lost = {.result = RUNNER_LOST,
                                         .sentence = "The process that runs boxes has died."};
    list_t all;
    list_init(&all);
    list_insert_all(&all, &client->pending);
    while (!list_is_empty(&all))
        finish(CONTAINER_OF(pending_t, link, all.next), &lost);
}

static void on_timeout(loop_timer_t *timer)
{
    static const runner_answer_t late = {.result = RUNNER_LOST,
                                         .sentence = "The process that runs boxes does not answer."};
    finish(CONTAINER_OF(pending_t, timer, timer), &late);
}

/* ---- messages ---- */

static pending_t *find(const runner_client_t *client, uint64_t number)
{
    for (list_t *node = client->pending.next; node != &client->pending; node = node->next) {
        pending_t *pending = CONTAINER_OF(pending_t, link, node);
        if (pending->number == number)
            return pending;
    }
    return NULL;
}

static const char *sentence_of(runner_result_t result)
{
    switch (result) {
    case RUNNER_OK:
        return "";
    case RUNNER_UNKNOWN:
        return "The process that runs boxes does not know this box (yet).";
    case RUNNER_BUSY:
        return "Too many requests about this box are in progress.";
    case RUNNER_FAILED:
    case RUNNER_LOST:
        break;
    }
    return "The box could not be started or stopped.";
}

static void on_done(runner_client_t *client, uint64_t number, str_t bytes)
{
    char sentence[RUNNER_SENTENCE_MAX + 1];
    pending_t *pending = find(client, number);
    unsigned result = bytes.n > 0 ? (unsigned char)bytes.p[0] : RUNNER_FAILED;
    if (pending == NULL || result >= RUNNER_LOST)
        return;
    str_t text = bytes.n > 0 ? str_from_offset(bytes, 1) : bytes;
    text.n = text.n < RUNNER_SENTENCE_MAX ? text.n : RUNNER_SENTENCE_MAX;
    (void)snprintf(sentence, sizeof(sentence), "%.*s", STR_ARG(text));
    const runner_answer_t answer = {.result = (runner_result_t)result,
                                    .sentence = sentence[0] != '\0' ? sentence
                                                                    : sentence_of((runner_result_t)result)};
    finish(pending, &answer);
}

static void on_text(runner_client_t *client, const ipc_message_t *message)
{
    pending_t *pending = find(client, message->value);
    size_t len = 0;
    if (pending == NULL || message->fd_count == 0 || message->len != RUNNER_LOG_HEAD_BYTES)
        return;
    char *bytes = memfile_read(message->fds[0], &len);
    runner_answer_t answer = {.result = RUNNER_OK,
                              .sentence = "",
                              .log = str_make(bytes, len),
                              .log_end = bytes_get64(message->bytes)};
    if (bytes == NULL)
        answer = (runner_answer_t){.result = RUNNER_FAILED, .sentence = "The log cannot be read."};
    finish(pending, &answer);
    memfile_release(&bytes, len);
}

static void on_message(void *owner, ipc_message_t *message)
{
    runner_client_t *client = owner;
    str_t bytes = str_make(message->bytes, message->len);
    runner_status_t status;
    switch (message->type) {
    case RUNNER_BOX:
        if (client->handlers != NULL && runner_status_read(bytes, &status))
            client->handlers->box(client->owner, &status);
        break;
    case RUNNER_LISTED:
        if (client->handlers != NULL)
            client->handlers->listed(client->owner);
        break;
    case RUNNER_DONE:
        on_done(client, message->value, bytes);
        break;
    case RUNNER_TEXT:
        on_text(client, message);
        break;
    default:
        break; /* not for us */
    }
}

static void on_closed(void *owner)
{
    runner_client_t *client = owner;
    channel_free(&client->channel);
    loop_undefer(&client->report_up);
    if (client->handlers != NULL)
        client->handlers->down(client->owner);
    finish_all(client);
}

/* ---- the whole ---- */

runner_client_t *runner_client_new(loop_t *loop)
{
    runner_client_t *client = calloc(1, sizeof(*client));
    assert(client != NULL);
    client->loop = loop;
    list_init(&client->pending);
    return client;
}

void runner_client_free(runner_client_t **client)
{
    runner_client_t *l = *client;
    *client = NULL;
    if (l == NULL)
        return;
    loop_undefer(&l->report_up);
    channel_free(&l->channel);
    runner_client_forget(l, NULL);
    free(l);
}

static void report_up(loop_task_t *task)
{
    runner_client_t *client = CONTAINER_OF(runner_client_t, report_up, task);
    if (client->handlers != NULL)
        client->handlers->up(client->owner);
}

void runner_client_listen(runner_client_t *client, const runner_client_handlers_t *handlers, void *owner)
{
    client->handlers = handlers;
    client->owner = owner;
    if (handlers != NULL && client->channel != NULL)
        loop_defer(client->loop, &client->report_up, report_up);
}

void runner_client_take(runner_client_t *client, int *fd)
{
    static const channel_handlers_t handlers = {.message = on_message, .closed = on_closed};
    if (client->channel != NULL) /* its end may still be unread */
        on_closed(client);
    client->channel = channel_new(client->loop, *fd, &handlers, client);
    *fd = -1;
    loop_defer(client->loop, &client->report_up, report_up);
}

bool runner_client_request(runner_client_t *client, runner_message_t what, str_t id, uint64_t from,
                           runner_answered_t done, void *arg)
{
    char bytes[RUNNER_LOG_HEAD_BYTES + BOX_ID_MAX];
    size_t head = what == RUNNER_LOG ? RUNNER_LOG_HEAD_BYTES : 0;
    assert(id.n <= BOX_ID_MAX);
    if (client->channel == NULL || client->pending_count == RUNNER_CLIENT_QUESTIONS_MAX)
        return false;
    if (head != 0)
        bytes_put64(bytes, from);
    memcpy(bytes + head, id.p, id.n);
    uint64_t number = ++client->last_number;
    if (!channel_send(client->channel, what, number, str_make(bytes, head + id.n), NULL, 0))
        return false;
    pending_t *pending = calloc(1, sizeof(*pending));
    assert(pending != NULL);
    *pending = (pending_t){.owner = client, .number = number, .done = done, .arg = arg};
    list_insert(&client->pending, &pending->link);
    client->pending_count++;
    loop_timer_start(client->loop, &pending->timer, RUNNER_CLIENT_ANSWER_MS, on_timeout);
    return true;
}

void runner_client_forget(runner_client_t *client, const void *arg)
{
    list_t *node = client->pending.next;
    while (node != &client->pending) {
        pending_t *pending = CONTAINER_OF(pending_t, link, node);
        node = node->next;
        if (arg != NULL && pending->arg != arg)
            continue;
        pending->done = NULL; /* drops the answer */
        finish(pending, NULL);
    }
}

void runner_client_look(runner_client_t *client, str_t id)
{
    if (client->channel != NULL && !channel_send(client->channel, RUNNER_LOOK, 0, id, NULL, 0)) {
        /* A lost request is repeated by its caller. */
    }
}

void runner_client_list(runner_client_t *client)
{
    if (client->channel != NULL && !channel_send(client->channel, RUNNER_LIST, 0, STR(""), NULL, 0)) {
        /* As above. */
    }
}
