/* A gate in the way of the store's thread: while it is shut, what is added behind it waits. */
#ifndef BOXEDGE_STORE_GATE_H
#define BOXEDGE_STORE_GATE_H

#include "store_fixture.h"

#include <semaphore.h>

#include "store_thread.h"

/* Lives until the thread has passed it, or was freed. */
typedef struct store_gate {
    store_job_t job;
    sem_t opened;
    bool passed; /* as the loop has heard */
} store_gate_t;

void store_gate_shut(store_thread_t *thread, store_gate_t *gate);
void store_gate_open(store_gate_t *gate);

#endif
