/*
 * A worker's questions to the controller about previews (preview_message.h), each with a bound in time.
 */
#ifndef BOXEDGE_PREVIEW_CLIENT_H
#define BOXEDGE_PREVIEW_CLIENT_H

#include "channel.h"
#include "deletion_message.h"
#include "doubts.h"
#include "list.h"
#include "loop.h"
#include "preview_message.h"

typedef struct worker worker_t;
typedef struct preview_client preview_client_t;

/* Embedded; zero-filled asks nothing. */
typedef struct preview_asker {
    list_t link;
    loop_timer_t timer;
    uint64_t number; /* 0: it does not wait */
    /* `answer` is cleansed after it; NULL: the controller is down, or does not answer. Never called from
     * within preview_client_ask. */
    void (*answered)(struct preview_asker *asker, const preview_answer_t *answer);
} preview_asker_t;

preview_client_t *preview_client_new(worker_t *worker);
/* Nobody waits any more (asserted). */
void preview_client_free(preview_client_t **calls);
/* The channel to the controller from now on; NULL: it is down, and who waits is told so. */
void preview_client_set_channel(preview_client_t *calls, channel_t *channel);

void preview_client_ask(preview_client_t *calls, preview_asker_t *asker, const preview_call_t *call,
                        void (*answered)(preview_asker_t *asker, const preview_answer_t *answer));
/* It waits no more. One that does not wait is allowed. */
void preview_client_leave(preview_asker_t *asker);
/* The same for a call that deletes boxes. */
void preview_client_ask_deletion(preview_client_t *calls, preview_asker_t *asker, const deletion_call_t *call,
                                 void (*answered)(preview_asker_t *asker, const preview_answer_t *answer));
/*
 * Says how such a call ended (DELETION_END), again until the controller has taken it. Of more than
 * PREVIEW_CALLS_TOLD_MAX that it has not taken, further ones are not kept: their boxes stay noted.
 */
#define PREVIEW_CALLS_TOLD_MAX 1024
void preview_client_tell_deletion(preview_client_t *calls, const deletion_call_t *call);
/*
 * The same for boxes that are doubted (doubts_state) until the controller has taken it: takes the cells of
 * `claim` over. Those of what is not kept are orphaned.
 */
void preview_client_tell_doubted(preview_client_t *calls, const deletion_call_t *call, doubt_claim_t *claim);
/* PROCESS_PREVIEW_DONE. */
void preview_client_message(preview_client_t *calls, ipc_message_t *message);

#endif
