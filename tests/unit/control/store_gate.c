#include "store_gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "list.h"

static void store_gate_run(store_job_t *job, store_t *store)
{
    (void)store;
    while (sem_wait(&CONTAINER_OF(store_gate_t, job, job)->opened) != 0)
        continue; /* interrupted */
}

static void store_gate_done(store_job_t *job)
{
    store_gate_t *gate = CONTAINER_OF(store_gate_t, job, job);
    (void)sem_destroy(&gate->opened);
    gate->passed = true;
}

void store_gate_shut(store_thread_t *thread, store_gate_t *gate)
{
    *gate = (store_gate_t){.job = {.run = store_gate_run, .done = store_gate_done}};
    assert_int_equal(sem_init(&gate->opened, 0, 0), 0);
    assert_true(store_thread_add(thread, &gate->job));
}

void store_gate_open(store_gate_t *gate)
{
    assert_int_equal(sem_post(&gate->opened), 0);
}
