/* Boxes and their waking in the controller. The test plays the provider; ports and the store are real. The
 * test moves the clock (`pass`). */
#ifndef BOXEDGE_WAKE_COORDINATOR_WORLD_H
#define BOXEDGE_WAKE_COORDINATOR_WORLD_H

#include "store_fixture.h"

#include <arpa/inet.h>

#include "conf.h"
#include "process.h"
#include "wake_coordinator.h"

#define MIB (UINT64_C(1) << 20)
#define CONF                                                                                                 \
    "preview_domain: preview.test\nnode: here\npublic_port: 443\n"                                           \
    "listeners:\n  - {address: \"127.0.0.1:8080\", kind: plain}\n"

typedef struct world {
    fixture_t dirs;
    loop_t *loop;
    shm_t *shm;
    conf_t *conf;
    store_thread_t *store;
    worker_links_t *worker_links;
    boxes_t *boxes;
    wake_coordinator_t *coordinator;
    provider_t provider;
    unsigned resumes, pauses;
    char resumed_id[BOX_ID_MAX + 1];
    int workers[3]; /* the workers' ends */
    int listener;   /* -1: none */
    uint16_t port;  /* of the listener, or a port without one */
} world_t;

void ignore_id(provider_t *provider, str_t id);
void ignore_conf(provider_t *provider, const conf_t *conf);
int make_port(uint16_t *port, bool listening);
int wake_coordinator_world_setup(void **state);
int wake_coordinator_world_teardown(void **state);
provider_box_t box_at(const char *id, box_state_t state, const char *address);
void tell(world_t *w, const char *id, box_state_t state, const char *address);

/* The provider's answer to the last resume. */
void answer(world_t *w, provider_result_t result, const char *sentence);
str_t label(world_t *w, const char *id);

/* The next message to worker `index` that ends a wake; 0: none within the turns. */
wake_result_t ended(world_t *w, unsigned index, wake_answer_t *out, unsigned turns);

typedef struct settling {
    store_job_t job;
    bool done;
} settling_t;

void settling_run(store_job_t *job, store_t *store);
void settling_done(store_job_t *job);

/* Finishes the pending work of the store and its consequences, and gives probes their turns. */
void settle(world_t *w);

/* `ms` pass in steps, in which probes and their answers have their turns. */
void wake_coordinator_world_pass(world_t *w, uint64_t ms);
const store_box_t *known(world_t *w, const char *id);

#endif
