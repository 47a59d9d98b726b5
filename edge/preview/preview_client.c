#include "preview_client.h"

#include <assert.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "list.h"
#include "process.h"
#include "process_log.h"
#include "worker.h"

/* Time limit of one answer. A commit on a busy disk takes a while. */
#define ANSWER_MS 10000
/* Delay before an untaken report is repeated. */
#define TELL_AGAIN_MS 1000

struct preview_client {
    worker_t *worker;
    channel_t *channel;
    list_t askers;
    list_t told; /* told_t */
    size_t told_count;
    uint64_t numbers; /* the number of the last request */
};

preview_client_t *preview_client_new(worker_t *worker)
{
    preview_client_t *calls = calloc(1, sizeof(*calls));
    assert(calls != NULL);
    calls->worker = worker;
    list_init(&calls->askers);
    list_init(&calls->told);
    /* A random start: the controller's answer to a dead worker reaches the next one, and may carry secrets.
     * Half of the range remains to count in. */
    random_bytes(worker->context.random, (unsigned char *)&calls->numbers, sizeof(calls->numbers));
    calls->numbers >>= 1;
    return calls;
}

void preview_client_leave(preview_request_t *asker)
{
    if (asker->number == 0)
        return;
    asker->number = 0;
    list_unlink(&asker->link);
    loop_timer_stop(&asker->timer);
}

static void give_up(loop_timer_t *timer)
{
    preview_request_t *asker = CONTAINER_OF(preview_request_t, timer, timer);
    preview_client_leave(asker);
    asker->answered(asker, NULL);
}

void preview_client_set_channel(preview_client_t *calls, channel_t *channel)
{
    calls->channel = channel;
    if (channel != NULL)
        return;
    for (list_t *link = calls->askers.next, *next; link != &calls->askers; link = next) {
        preview_request_t *asker = CONTAINER_OF(preview_request_t, link, link);
        next = link->next;
        loop_timer_start(calls->worker->context.loop, &asker->timer, 0, give_up);
    }
}

static bool post(preview_client_t *calls, process_message_t type, uint64_t number, str_t bytes)
{
    return calls->channel != NULL && channel_send(calls->channel, (uint32_t)type, number, bytes, NULL, 0);
}

static void ask(preview_client_t *calls, preview_request_t *asker, process_message_t type, str_t bytes,
                void (*answered)(preview_request_t *asker, const preview_answer_t *answer))
{
    assert(asker->number == 0);
    asker->number = ++calls->numbers;
    asker->answered = answered;
    list_insert(&calls->askers, &asker->link);
    bool sent = post(calls, type, asker->number, bytes);
    loop_timer_start(calls->worker->context.loop, &asker->timer, sent ? ANSWER_MS : 0, give_up);
}

void preview_client_request(preview_client_t *calls, preview_request_t *asker, const preview_call_t *call,
                            void (*answered)(preview_request_t *asker, const preview_answer_t *answer))
{
    ask(calls, asker, PROCESS_PREVIEW, str_make((const char *)call, sizeof(*call)), answered);
}

void preview_client_request_deletion(preview_client_t *calls, preview_request_t *asker,
                                     const deletion_call_t *call,
                                     void (*answered)(preview_request_t *asker,
                                                      const preview_answer_t *answer))
{
    ask(calls, asker, PROCESS_DELETION, deletion_call_bytes(call), answered);
}

/* ---- reports that must arrive ---- */

/* The end of a call, until the controller takes it. */
typedef struct told {
    preview_request_t asker;
    preview_client_t *calls;
    loop_timer_t again;
    list_t link; /* in calls->told */
    deletion_call_t call;
    doubt_claim_t doubted; /* the cells of its doubted boxes */
} told_t;

static void tell(told_t *told);

static void forget(preview_client_t *calls, told_t *told)
{
    list_unlink(&told->link);
    loop_timer_stop(&told->again);
    preview_client_leave(&told->asker);
    calls->told_count--;
    free(told);
}

static void on_again(loop_timer_t *timer)
{
    tell(CONTAINER_OF(told_t, again, timer));
}

static void on_taken(preview_request_t *asker, const preview_answer_t *answer)
{
    told_t *told = CONTAINER_OF(told_t, asker, asker);
    if (answer != NULL && answer->status == 200) {
        if (told->doubted.count != 0)
            doubts_release(shm_doubts(told->calls->worker->context.shm), &told->doubted);
        forget(told->calls, told);
        return;
    }
    loop_timer_start(told->calls->worker->context.loop, &told->again, TELL_AGAIN_MS, on_again);
}

static void tell(told_t *told)
{
    preview_client_request_deletion(told->calls, &told->asker, &told->call, on_taken);
}

void preview_client_notify_deletion(preview_client_t *calls, const deletion_call_t *call)
{
    doubt_claim_t none = {0};
    preview_client_notify_doubted(calls, call, &none);
}

void preview_client_notify_doubted(preview_client_t *calls, const deletion_call_t *call, doubt_claim_t *claim)
{
    if (calls->told_count == PREVIEW_CALLS_TOLD_MAX) {
        process_log("worker",
                    "cannot report the result of the deletion of box %s: the controller does not answer",
                    call->ids[0]);
        if (claim->count != 0)
            doubts_orphan(shm_doubts(calls->worker->context.shm), claim);
        return;
    }
    told_t *told = calloc(1, sizeof(*told));
    assert(told != NULL);
    told->calls = calls;
    told->call = *call;
    told->doubted = *claim;
    claim->count = 0;
    list_insert(&calls->told, &told->link);
    calls->told_count++;
    tell(told);
}

void preview_client_message(preview_client_t *calls, ipc_message_t *message)
{
    preview_answer_t answer;
    bool read = preview_answer_read(str_make(message->bytes, message->len), &answer);
    for (list_t *link = calls->askers.next; link != &calls->askers; link = link->next) {
        preview_request_t *asker = CONTAINER_OF(preview_request_t, link, link);
        if (asker->number != message->value)
            continue;
        preview_client_leave(asker);
        asker->answered(asker, read ? &answer : NULL);
        break;
    }
    OPENSSL_cleanse(message->bytes, sizeof(message->bytes));
    OPENSSL_cleanse(&answer, sizeof(answer));
}

void preview_client_free(preview_client_t **calls)
{
    preview_client_t *freed = *calls;
    *calls = NULL;
    if (freed == NULL)
        return;
    while (!list_is_empty(&freed->told)) /* their boxes stay doubted; another worker reports them */
        forget(freed, CONTAINER_OF(told_t, link, freed->told.next));
    assert(list_is_empty(&freed->askers));
    free(freed);
}
