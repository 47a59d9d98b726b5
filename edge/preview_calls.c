#include "preview_calls.h"

#include <assert.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "process.h"
#include "worker.h"

/* For one answer. A commit on a busy disk takes a while. */
#define ANSWER_MS 10000

struct preview_calls {
    worker_t *worker;
    channel_t *channel;
    h2o_linklist_t askers;
    uint64_t numbers; /* the last one that was given */
};

preview_calls_t *preview_calls_new(worker_t *worker)
{
    preview_calls_t *calls = calloc(1, sizeof(*calls));
    assert(calls != NULL);
    calls->worker = worker;
    h2o_linklist_init_anchor(&calls->askers);
    /* From anywhere: what the controller still answers to a worker that died comes to the next one, and may
     * show secrets. Half of the range is left to count in. */
    random_bytes(worker->random, (unsigned char *)&calls->numbers, sizeof(calls->numbers));
    calls->numbers >>= 1;
    return calls;
}

void preview_calls_free(preview_calls_t **calls)
{
    if (*calls == NULL)
        return;
    assert(h2o_linklist_is_empty(&(*calls)->askers));
    free(*calls);
    *calls = NULL;
}

void preview_calls_leave(preview_asker_t *asker)
{
    if (asker->number == 0)
        return;
    asker->number = 0;
    h2o_linklist_unlink(&asker->link);
    loop_timer_stop(&asker->timer);
}

static void give_up(loop_timer_t *timer)
{
    preview_asker_t *asker = H2O_STRUCT_FROM_MEMBER(preview_asker_t, timer, timer);
    preview_calls_leave(asker);
    asker->answered(asker, NULL);
}

void preview_calls_set_channel(preview_calls_t *calls, channel_t *channel)
{
    calls->channel = channel;
    if (channel != NULL)
        return;
    for (h2o_linklist_t *link = calls->askers.next, *next; link != &calls->askers; link = next) {
        preview_asker_t *asker = H2O_STRUCT_FROM_MEMBER(preview_asker_t, link, link);
        next = link->next;
        loop_timer_start(calls->worker->loop, &asker->timer, 0, give_up);
    }
}

static bool post(preview_calls_t *calls, uint64_t number, const preview_call_t *call)
{
    return calls->channel != NULL && channel_send(calls->channel, PROCESS_PREVIEW, number,
                                                  str_make((const char *)call, sizeof(*call)), NULL, 0);
}

void preview_calls_ask(preview_calls_t *calls, preview_asker_t *asker, const preview_call_t *call,
                       void (*answered)(preview_asker_t *asker, const preview_answer_t *answer))
{
    assert(asker->number == 0);
    asker->number = ++calls->numbers;
    asker->answered = answered;
    h2o_linklist_insert(&calls->askers, &asker->link);
    bool sent = post(calls, asker->number, call);
    loop_timer_start(calls->worker->loop, &asker->timer, sent ? ANSWER_MS : 0, give_up);
}

void preview_calls_forget_box(preview_calls_t *calls, str_t id)
{
    preview_call_t call = {.op = PREVIEW_FORGET_BOX};
    if (!box_id_valid(id))
        return;
    memcpy(call.id, id.p, id.n);
    if (!post(calls, 0, &call))
        process_log("worker", "the previews of box %s, which was deleted, stay: the controller is down",
                    call.id);
}

void preview_calls_message(preview_calls_t *calls, ipc_message_t *message)
{
    preview_answer_t answer;
    bool read = preview_answer_read(str_make(message->bytes, message->len), &answer);
    for (h2o_linklist_t *link = calls->askers.next; link != &calls->askers; link = link->next) {
        preview_asker_t *asker = H2O_STRUCT_FROM_MEMBER(preview_asker_t, link, link);
        if (asker->number != message->value)
            continue;
        preview_calls_leave(asker);
        asker->answered(asker, read ? &answer : NULL);
        break;
    }
    OPENSSL_cleanse(message->bytes, sizeof(message->bytes));
    OPENSSL_cleanse(&answer, sizeof(answer));
}
