/*
 * Questions to all workers about their requests (traffic_message.h), for the admin API. A worker that does
 * not answer in time, or cannot be reached, is missing from the answer, which names it.
 */
#ifndef BOXEDGE_TRAFFIC_SERVICE_H
#define BOXEDGE_TRAFFIC_SERVICE_H

#include "shm.h"
#include "traffic_message.h"
#include "worker_links.h"

/* Time limit of an answer. */
#define TRAFFIC_WAIT_MS 2000
/* Maximum questions under way. */
#define TRAFFIC_QUESTIONS_MAX 32

typedef struct traffic_service traffic_service_t;
typedef struct traffic_asked traffic_asked_t;

/* A worker without a whole answer. */
typedef struct traffic_missing {
    unsigned number; /* of its slot */
    int pid;
    bool old; /* of an edge that a newer one replaced */
} traffic_missing_t;

typedef struct traffic_handlers {
    /* A part of the answer of worker `number`: its first byte is a traffic_part_t. */
    void (*part)(void *owner, unsigned number, str_t bytes);
    /* The answer is complete: `missing` are the workers without one. Nothing is called after it. */
    void (*done)(void *owner, const traffic_missing_t *missing, size_t count);
} traffic_handlers_t;

/* All must outlive it. */
traffic_service_t *traffic_service_new(loop_t *loop, shm_t *shm, worker_links_t *worker_links);
/* Ends all questions without a call of a handler, and nulls. */
void traffic_service_free(traffic_service_t **service);

/*
 * Asks every worker. Calls `done` once, not within this call, unless traffic_asked_cancel ends the question.
 * NULL: TRAFFIC_QUESTIONS_MAX are under way. `handlers` must outlive the question.
 */
traffic_asked_t *traffic_service_ask(traffic_service_t *service, const traffic_question_t *question,
                                     const traffic_handlers_t *handlers, void *owner);
void traffic_asked_cancel(traffic_asked_t **asked);
/* Takes PROCESS_TRAFFIC of worker `index`. */
void traffic_service_take(traffic_service_t *service, unsigned index, uint64_t number, str_t bytes);

#endif
