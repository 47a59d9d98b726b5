/*
 * The admin API: HTTP/1.1 with JSON on a Unix socket whose file mode says who may use it
 * (docs/operations.md). Reads and changes of the store go through the store thread, so no request holds up
 * the loop.
 */
#ifndef BOXEDGE_ADMIN_H
#define BOXEDGE_ADMIN_H

#include "conf.h"
#include "control_box.h"
#include "loop.h"
#include "runner_client.h"
#include "shm.h"
#include "store_thread.h"

typedef struct admin admin_t;

/* What the API asks of the process that it is in. What returns a bool says false where the supervisor cannot
 * be told. */
typedef struct admin_controls {
    bool (*reload)(void *owner); /* the result comes with admin_reload_done */
    bool (*drain)(void *owner);
    /* Tells every worker to end open tunnels: which ones, see PROCESS_TUNNELS. It is on its way, or will be
     * made up for, when this returns. Called also between admin_free and the end of the store's thread. */
    void (*end_tunnels)(void *owner, const char *which, uint64_t below);
    /* The control plane says how a box is. NULL: taken, and `done` comes once every worker sees it, never
     * from within, and not after admin_free; else a sentence that says why it is not taken. */
    const char *(*push_box)(void *owner, const control_box_t *box, void (*done)(void *arg), void *arg);
    /* The provider of a box, to ask it for the box's log: NULL where boxes of this kind have none. False
     * where there is no such box. Valid until the loop turns. */
    bool (*find_box)(void *owner, str_t id, box_provider_t *kind, provider_t **provider);
    /* The operator has the runner start or stop this box: no request from before undoes a stop. */
    void (*box_ordered)(void *owner, str_t id, bool runs);
} admin_controls_t;

/*
 * Serves on `listen_fd` (listening, non-blocking; owned from here on). Everything else must outlive it; a
 * reference to `conf` is taken.
 */
admin_t *admin_new(loop_t *loop, const conf_t *conf, shm_t *shm, store_thread_t *store, int listen_fd,
                   const admin_controls_t *controls, void *owner);
/* Closes every connection and nulls; `store` may still have jobs that nobody waits for then. */
void admin_free(admin_t **admin);

/* Who starts and stops process boxes; outlives `admin`. */
void admin_set_runner(admin_t *admin, runner_client_t *runner);
/* Another configuration is in force. */
void admin_set_conf(admin_t *admin, const conf_t *conf);
/* A reload has ended: `lines` are its errors, or its warnings where it went well. Answers all waiting
 * requests.
 */
void admin_reload_done(admin_t *admin, bool ok, str_t lines);
/* Takes no more connections and asks the open ones to end; admin_clients says how many are left. */
void admin_drain(admin_t *admin);
uint64_t admin_clients(const admin_t *admin);

#endif
