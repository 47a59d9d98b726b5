/*
 * A worker's requests to the controller about previews (preview_message.h), each with a time limit.
 */
#ifndef BOXEDGE_PREVIEW_CLIENT_H
#define BOXEDGE_PREVIEW_CLIENT_H

#include "channel.h"
#include "deletion_message.h"
#include "link_message.h"
#include "list.h"
#include "loop.h"
#include "preview_message.h"

typedef struct worker worker_t;
typedef struct preview_client preview_client_t;

/* Embedded. Zero-filled: not waiting. */
typedef struct preview_request {
    list_t link;
    loop_timer_t timer;
    uint64_t number;               /* 0: not waiting */
    struct preview_unsent *unsent; /* waits for a controller; NULL: sent, or not waiting */
    /* `answer` is cleansed after the call. NULL: the controller is down, or gave no valid answer. Never
     * called from within preview_client_request. */
    void (*answered)(struct preview_request *request, const preview_answer_t *answer);
} preview_request_t;

preview_client_t *preview_client_new(worker_t *worker);
/* No request waits (asserted). Drops reports that the controller has not taken. */
void preview_client_free(preview_client_t **client);
/* The channel to the controller from now on. NULL: the controller is down, and the requests that it has got
 * end with NULL. Those that come then wait for the next channel, for a short time. */
void preview_client_set_channel(preview_client_t *client, channel_t *channel);

void preview_client_request(preview_client_t *client, preview_request_t *request, const preview_call_t *call,
                            void (*answered)(preview_request_t *request, const preview_answer_t *answer));
/* Stop waiting. No-op if not waiting. */
void preview_client_leave(preview_request_t *request);
/* The same for a call about a link. */
void preview_client_request_link(preview_client_t *client, preview_request_t *request,
                                 const link_call_t *call,
                                 void (*answered)(preview_request_t *request,
                                                  const preview_answer_t *answer));
/* Sends the use of a link (LINK_NOTE). False: not now. */
MUST_USE bool preview_client_note_link(preview_client_t *client, const link_call_t *call);
/* The same for a call that deletes boxes. */
void preview_client_request_deletion(preview_client_t *client, preview_request_t *request,
                                     const deletion_call_t *call,
                                     void (*answered)(preview_request_t *request,
                                                      const preview_answer_t *answer));
/*
 * Reports how such a call ended (DELETION_END), repeatedly until the controller takes the report. With
 * PREVIEW_REPORTS_MAX pending reports, a new one is dropped: its boxes stay noted.
 */
#define PREVIEW_REPORTS_MAX 1024
void preview_client_notify_deletion(preview_client_t *client, const deletion_call_t *call);
/* Handles PROCESS_PREVIEW_DONE, and cleanses the message. */
void preview_client_message(preview_client_t *client, ipc_message_t *message);

#endif
