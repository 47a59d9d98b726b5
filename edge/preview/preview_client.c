#include "preview_client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "list.h"
#include "process.h"
#include "process_log.h"
#include "worker.h"

/* Time limit of one answer. A commit on a busy disk takes a while. */
#define ANSWER_MS 10000
/* Delay before an untaken report is repeated. */
#define REPORT_AGAIN_MS 1000

/* Time that a request waits for a controller, in which one is restarted, or that of a new binary starts. */
#define UNSENT_MS 3000

typedef struct preview_unsent {
    process_message_t type;
    size_t len;
    char bytes[];
} preview_unsent_t;

struct preview_client {
    worker_t *worker;
    channel_t *channel;
    list_t requests;
    list_t reports; /* deletion_report_t */
    size_t report_count;
    uint64_t numbers; /* the number of the last request */
};

preview_client_t *preview_client_new(worker_t *worker)
{
    preview_client_t *client = calloc(1, sizeof(*client));
    assert(client != NULL);
    client->worker = worker;
    list_init(&client->requests);
    list_init(&client->reports);
    /* A random start: the controller's answer to a dead worker reaches the next one, and may carry secrets.
     * Half of the range remains to count in. */
    random_bytes(worker->context.random, (unsigned char *)&client->numbers, sizeof(client->numbers));
    client->numbers >>= 1;
    return client;
}

void preview_client_leave(preview_request_t *request)
{
    if (request->number == 0)
        return;
    request->number = 0;
    free(request->unsent);
    request->unsent = NULL;
    list_unlink(&request->link);
    loop_timer_stop(&request->timer);
}

static void give_up(loop_timer_t *timer)
{
    preview_request_t *request = CONTAINER_OF(preview_request_t, timer, timer);
    preview_client_leave(request);
    request->answered(request, NULL);
}

static bool post(preview_client_t *client, process_message_t type, uint64_t number, str_t bytes)
{
    return client->channel != NULL && channel_send(client->channel, (uint32_t)type, number, bytes, NULL, 0);
}

static void start_timer(preview_client_t *client, preview_request_t *request, uint32_t ms)
{
    loop_timer_start(client->worker->context.loop, &request->timer, ms, give_up);
}

static void send_unsent(preview_client_t *client, preview_request_t *request)
{
    preview_unsent_t *unsent = request->unsent;
    request->unsent = NULL;
    bool sent = post(client, unsent->type, request->number, str_make(unsent->bytes, unsent->len));
    start_timer(client, request, sent ? ANSWER_MS : 0);
    free(unsent);
}

void preview_client_set_channel(preview_client_t *client, channel_t *channel)
{
    client->channel = channel;
    for (list_t *link = client->requests.next; link != &client->requests; link = link->next) {
        preview_request_t *request = CONTAINER_OF(preview_request_t, link, link);
        if (channel != NULL && request->unsent != NULL)
            send_unsent(client, request);
        else if (channel == NULL && request->unsent == NULL)
            start_timer(client, request, 0);
    }
}

/* Without a controller, or with one that ends, the request is kept for the next one. */
static bool keep(preview_request_t *request, process_message_t type, str_t bytes)
{
    preview_unsent_t *unsent = malloc(sizeof(*unsent) + bytes.n);
    if (unsent == NULL)
        return false;
    *unsent = (preview_unsent_t){.type = type, .len = bytes.n};
    memcpy(unsent->bytes, bytes.p, bytes.n);
    request->unsent = unsent;
    return true;
}

static void send_request(preview_client_t *client, preview_request_t *request, process_message_t type,
                         str_t bytes,
                         void (*answered)(preview_request_t *request, const preview_answer_t *answer))
{
    assert(request->number == 0);
    request->number = ++client->numbers;
    request->answered = answered;
    request->unsent = NULL;
    list_insert(&client->requests, &request->link);
    if (post(client, type, request->number, bytes))
        start_timer(client, request, ANSWER_MS);
    else
        start_timer(client, request, keep(request, type, bytes) ? UNSENT_MS : 0);
}

void preview_client_request(preview_client_t *client, preview_request_t *request, const preview_call_t *call,
                            void (*answered)(preview_request_t *request, const preview_answer_t *answer))
{
    send_request(client, request, PROCESS_PREVIEW, str_make((const char *)call, sizeof(*call)), answered);
}

void preview_client_request_link(preview_client_t *client, preview_request_t *request,
                                 const link_call_t *call,
                                 void (*answered)(preview_request_t *request, const preview_answer_t *answer))
{
    send_request(client, request, PROCESS_PREVIEW_LINK, str_make((const char *)call, sizeof(*call)),
                 answered);
}

bool preview_client_note_link(preview_client_t *client, const link_call_t *call)
{
    return post(client, PROCESS_PREVIEW_LINK, 0, str_make((const char *)call, sizeof(*call)));
}

void preview_client_request_deletion(preview_client_t *client, preview_request_t *request,
                                     const deletion_call_t *call,
                                     void (*answered)(preview_request_t *request,
                                                      const preview_answer_t *answer))
{
    send_request(client, request, PROCESS_DELETION, deletion_call_bytes(call), answered);
}

/* ---- reports that must arrive ---- */

/* The end of a call, until the controller takes it. */
typedef struct report {
    preview_request_t request;
    preview_client_t *client;
    loop_timer_t again;
    list_t link; /* in client->reports */
    deletion_call_t call;
} deletion_report_t;

static void send_report(deletion_report_t *report);

static void forget(preview_client_t *client, deletion_report_t *report)
{
    list_unlink(&report->link);
    loop_timer_stop(&report->again);
    preview_client_leave(&report->request);
    client->report_count--;
    free(report);
}

static void on_again(loop_timer_t *timer)
{
    send_report(CONTAINER_OF(deletion_report_t, again, timer));
}

static void on_taken(preview_request_t *request, const preview_answer_t *answer)
{
    deletion_report_t *report = CONTAINER_OF(deletion_report_t, request, request);
    if (answer != NULL && answer->status == 200)
        forget(report->client, report);
    else
        loop_timer_start(report->client->worker->context.loop, &report->again, REPORT_AGAIN_MS, on_again);
}

static void send_report(deletion_report_t *report)
{
    preview_client_request_deletion(report->client, &report->request, &report->call, on_taken);
}

void preview_client_notify_deletion(preview_client_t *client, const deletion_call_t *call)
{
    if (client->report_count == PREVIEW_REPORTS_MAX) {
        process_log(LOG_DELETION_UNREPORTED, "worker",
                    "cannot report the result of the deletion of box %s: the controller does not answer",
                    call->ids[0]);
        return;
    }
    deletion_report_t *report = calloc(1, sizeof(*report));
    assert(report != NULL);
    report->client = client;
    report->call = *call;
    list_insert(&client->reports, &report->link);
    client->report_count++;
    send_report(report);
}

void preview_client_message(preview_client_t *client, ipc_message_t *message)
{
    preview_answer_t answer;
    bool read = preview_answer_read(str_make(message->bytes, message->len), &answer);
    for (list_t *link = client->requests.next; link != &client->requests; link = link->next) {
        preview_request_t *request = CONTAINER_OF(preview_request_t, link, link);
        if (request->number != message->value)
            continue;
        preview_client_leave(request);
        request->answered(request, read ? &answer : NULL);
        break;
    }
    OPENSSL_cleanse(message->bytes, sizeof(message->bytes));
    OPENSSL_cleanse(&answer, sizeof(answer));
}

void preview_client_free(preview_client_t **client)
{
    preview_client_t *freed = *client;
    *client = NULL;
    if (freed == NULL)
        return;
    while (!list_is_empty(&freed->reports))
        forget(freed, CONTAINER_OF(deletion_report_t, link, freed->reports.next));
    assert(list_is_empty(&freed->requests));
    free(freed);
}
