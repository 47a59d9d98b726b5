/*
 * What the files of the admin API share: its state, answers, and jobs for the store thread that an exchange
 * waits for. Only admin*.c includes this.
 */
#ifndef BOXEDGE_ADMIN_INTERNAL_H
#define BOXEDGE_ADMIN_INTERNAL_H

#include <jansson.h>

#include "admin.h"
#include "client.h"
#include "exchange.h"
#include "list.h"
#include "local_server.h"
#include "preview_make.h"
#include "worker.h"

/* Bytes of a request's body, at most. */
#define ADMIN_BODY_MAX 65536
/* Connections at once, at most. */
#define ADMIN_CLIENTS_MAX 256
/* Previews and boxes in one answer, at most. */
#define ADMIN_PREVIEWS_MAX 1000
#define ADMIN_BOXES_MAX    10000
/* API keys in one answer, at most; beside them all that the configuration declares. */
#define ADMIN_KEYS_MAX 1000
/* Pushed states on their way into the store, at most. */
#define ADMIN_PUSHES_MAX 1024

struct admin {
    loop_t *loop;
    shm_t *shm;
    store_thread_t *store;
    local_server_t *server;
    const admin_controls_t *controls;
    void *owner;
    runner_client_t *runner; /* NULL: admin_set_runner was not called */
    list_t reload_waiters;   /* reload_waiter_t.link, in admin_control.c */
    list_t pushes;           /* push_t.link, in admin_push.c */
    size_t push_count;
};

static inline admin_t *admin_of(const exchange_t *ex)
{
    return local_server_owner(ex);
}

/* ---- requests (admin_request.c) ---- */

/* The fields of a JSON object that a handler takes; ends with NULL. */
typedef const char *const admin_fields_t[];
/* The body as a JSON object with none but these fields, to be released; or answers and returns NULL. `noun`
 * is what the object describes: "A preview". */
json_t *admin_object(exchange_t *ex, str_t body, const char *noun, admin_fields_t fields);
/* Fills *out from a field that is true, false, or left out; or answers and returns false. */
MUST_USE bool admin_take_flag(exchange_t *ex, const json_t *object, const char *name, bool *out);
/* Calls `take` for every name=value of the target's query; false where it does, or where one is no such pair.
 */
MUST_USE bool admin_each_parameter(str_t target, bool (*take)(void *arg, str_t name, str_t value), void *arg);
/* False where `id` is no box id. */
MUST_USE bool admin_take_id(char out[BOX_ID_MAX + 1], str_t id);

/* ---- answers (admin_reply.c): they may show a secret, so their text is cleansed when it is freed ---- */

/* Answers with `body`, which is taken over. */
void admin_reply(exchange_t *ex, int status, json_t *body);
/* Answers {"error": sentence, "code": code, "request_id": ...}; `allow` is the Allow field of a 405, else
 * NULL. */
void admin_error(exchange_t *ex, int status, const char *code, const char *allow, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The answer for a store that failed: 507 when it is full, else 503. `why` is store_error's sentence. */
void admin_store_error(exchange_t *ex, store_result_t result, const char *why);
/* The user at the other end of the socket, or -1. */
long admin_peer_uid(const exchange_t *ex);

/* ---- work on the store (admin_job.c) ---- */

typedef struct admin_job admin_job_t;

/* The first member of what a handler allocates with malloc; freed after `answer`. */
struct admin_job {
    store_job_t job;
    const admin_controls_t *controls; /* for `finished`, which may come after the API's end */
    void *owner;                      /* of them */
    store_thread_t *store;
    exchange_t *ex; /* NULL: the asker has left */
    long uid;       /* the asker's */
    /* Called on the loop when the job is done, whether or not the asker still is there; may be NULL. */
    void (*finished)(const admin_job_t *job);
    /* Called after it, once, whether or not the asker still is there; may be NULL. Where it returns true, it
     * has made another piece of work of the job, which is done before the answer. */
    bool (*go_on)(admin_job_t *job);
    /* Called after them with the exchange free to be answered; not called when the asker has left. */
    void (*answer)(exchange_t *ex, admin_job_t *job);
    /* Frees what the job holds besides itself; may be NULL. */
    void (*fini)(admin_job_t *job);
    store_result_t result; /* for `run` */
    char why[256];         /* for `run`: store_error of a STORE_FAILED or STORE_FULL */
};

/* The exchange waits for `job`, which is taken over (and freed); where too many wait already it is answered
 * 503. */
void admin_job_start(exchange_t *ex, admin_job_t *job);
/* For `run`: notes the result and why. */
void admin_job_result(admin_job_t *job, store_t *store, store_result_t result);

/* ---- previews (admin_previews.c), for admin_create.c and admin_update.c ---- */

/* Takes "{box}/{port}" apart; false where it is none. */
MUST_USE bool admin_take_preview_path(str_t rest, store_preview_t *preview);

/* What everybody may know of a preview: never a secret, nor its hash. */
json_t *admin_preview_json(const exchange_t *ex, const store_preview_t *preview);
/* The same with the secrets that were made just now. */
json_t *admin_preview_json_with(const exchange_t *ex, const store_preview_t *preview,
                                const preview_secrets_t *secrets);
/* For admin_job_t.finished: says in the edge's own log who changed what (`how`: "created"), and where
 * `kill_tunnels` ends the open tunnels of what was there before. */
void admin_preview_changed(const admin_job_t *job, const char *how, bool kill_tunnels);

/* ---- fields of a preview (admin_preview_fields.c): each answers and returns false where one is wrong ----
 */

/* All but name, credentials and tunnels; what is left out stays. `now`: unix seconds. */
MUST_USE bool admin_take_preview_fields(exchange_t *ex, json_t *object, uint64_t now,
                                        store_preview_t *preview);
/* "bearer", "basic" and "public"; false where they are left out. */
MUST_USE bool admin_take_credentials(exchange_t *ex, json_t *object, bool *bearer, bool *basic, bool *open);
/* 409: a change without "public" would take the preview's credentials away. */
void admin_would_become_public(exchange_t *ex, const store_preview_t *preview);
/* 409 `alias_taken`: its alias is another box's (STORE_TAKEN). */
void admin_alias_taken(exchange_t *ex, const store_preview_t *preview);

/* ---- API keys (admin_keys.c), for admin_keys_list.c ---- */

/* False where `name` is none that a key could have. */
MUST_USE bool admin_take_key_name(char out[STORE_KEY_NAME_MAX + 1], str_t name);
/* What everybody may know of a key: never its hash. `conf` says whether its plan is there. */
json_t *admin_key_json(const conf_t *conf, const store_key_t *key);

/* ---- upstreams (admin_upstreams.c), for admin_status.c ---- */

/* How many servers each upstream has, and how many of them are usable. */
json_t *admin_upstreams_json(const exchange_t *ex);

/* ---- what is asked of a box (admin_processes.c), for admin_box_log.c ---- */

/* Cuts "<id>/<verb>[?query]" into its parts. False where it is not of this form. */
MUST_USE bool admin_take_verb(str_t rest, str_t *id, str_t *verb, str_t *query);
/* 404s: of an address, and of a process box. */
void admin_no_such_address(exchange_t *ex);
void admin_no_such_process(exchange_t *ex, const char *id);

/* ---- handlers: each gets the exchange and its body (local_handler_t) ---- */

void admin_previews_list(exchange_t *ex, str_t body, void *arg);
void admin_previews_create(exchange_t *ex, str_t body, void *arg);
void admin_previews_update(exchange_t *ex, str_t body, void *arg);
void admin_previews_delete(exchange_t *ex, str_t body, void *arg);
void admin_blocks_list(exchange_t *ex, str_t body, void *arg);
void admin_blocks_create(exchange_t *ex, str_t body, void *arg);
void admin_blocks_delete(exchange_t *ex, str_t body, void *arg);
void admin_keys_list(exchange_t *ex, str_t body, void *arg);
void admin_keys_create(exchange_t *ex, str_t body, void *arg);
void admin_keys_set_plan(exchange_t *ex, str_t body, void *arg);
void admin_keys_revoke(exchange_t *ex, str_t body, void *arg);
void admin_upstreams_list(exchange_t *ex, str_t body, void *arg);
void admin_upstreams_change(exchange_t *ex, str_t body, void *arg);
void admin_boxes_list(exchange_t *ex, str_t body, void *arg);
void admin_boxes_push(exchange_t *ex, str_t body, void *arg);
void admin_box_log(exchange_t *ex, str_t body, void *arg);
void admin_process_act(exchange_t *ex, str_t body, void *arg);
void admin_status(exchange_t *ex, str_t body, void *arg);
void admin_metrics(exchange_t *ex, str_t body, void *arg);
void admin_health(exchange_t *ex, str_t body, void *arg);
void admin_ready(exchange_t *ex, str_t body, void *arg);
void admin_reload(exchange_t *ex, str_t body, void *arg);
void admin_start_drain(exchange_t *ex, str_t body, void *arg);

/* Forgets the pushes that nobody waits for any more. */
void admin_pushes_free(admin_t *admin);

/* The table of addresses (admin_routes.c). */
extern const exchange_step_t admin_steps[];

#endif
