/*
 * A worker's questions to the controller about previews (preview_message.h), each with a bound in time.
 */
#ifndef BOXEDGE_PREVIEW_CALLS_H
#define BOXEDGE_PREVIEW_CALLS_H

#include "channel.h"
#include "loop.h"
#include "preview_message.h"

typedef struct worker worker_t;
typedef struct preview_calls preview_calls_t;

/* Embedded; zero-filled asks nothing. */
typedef struct preview_asker {
    h2o_linklist_t link;
    loop_timer_t timer;
    uint64_t number; /* 0: it does not wait */
    /* `answer` is cleansed after it; NULL: the controller is down, or does not answer. Never called from
     * within preview_calls_ask. */
    void (*answered)(struct preview_asker *asker, const preview_answer_t *answer);
} preview_asker_t;

preview_calls_t *preview_calls_new(worker_t *worker);
/* Nobody waits any more (asserted). */
void preview_calls_free(preview_calls_t **calls);
/* The channel to the controller from now on; NULL: it is down, and who waits is told so. */
void preview_calls_set_channel(preview_calls_t *calls, channel_t *channel);

void preview_calls_ask(preview_calls_t *calls, preview_asker_t *asker, const preview_call_t *call,
                       void (*answered)(preview_asker_t *asker, const preview_answer_t *answer));
/* It waits no more. One that does not wait is allowed. */
void preview_calls_leave(preview_asker_t *asker);
/* Has all previews of a box deleted; nobody waits for it. */
void preview_calls_forget_box(preview_calls_t *calls, str_t id);
/* PROCESS_PREVIEW_DONE. */
void preview_calls_message(preview_calls_t *calls, ipc_message_t *message);

#endif
