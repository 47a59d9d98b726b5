/* A gate for the store's thread: while it is shut, jobs added behind it wait. */
#ifndef BOXEDGE_STORE_GATE_H
#define BOXEDGE_STORE_GATE_H

#include "store_fixture.h"

#include <semaphore.h>

#include "store_thread.h"

/* Lives until the thread has passed it, or until it is freed. */
typedef struct store_gate {
    store_job_t job;
    sem_t opened;
    bool passed; /* when the loop has noticed */
} store_gate_t;

void store_gate_shut(store_thread_t *thread, store_gate_t *gate);
void store_gate_open(store_gate_t *gate);

#endif
