/*
 * Shared by admin*.c only: the state of the admin API, answers, and jobs of the store thread for which an
 * exchange waits.
 */
#ifndef BOXEDGE_ADMIN_INTERNAL_H
#define BOXEDGE_ADMIN_INTERNAL_H

#include <jansson.h>

#include "admin.h"
#include "client.h"
#include "context.h"
#include "exchange.h"
#include "list.h"
#include "local_server.h"
#include "metrics.h"
#include "preview_make.h"

/* Maximum bytes of a request's body. */
#define ADMIN_BODY_MAX 65536
/* Maximum requests at a time; LOCAL_SERVER_SPARE connections more. */
#define ADMIN_REQUESTS_MAX 256
/* Maximum previews and boxes in one answer. */
#define ADMIN_PREVIEWS_MAX 1000
#define ADMIN_BOXES_MAX    10000
/* Maximum API keys in one answer, beside all declared ones. */
#define ADMIN_KEYS_MAX 1000
/* Maximum states of boxes on their way into the store. */
#define ADMIN_RECORDED_MAX 1024

struct admin {
    loop_t *loop;
    shm_t *shm;
    store_thread_t *store;
    local_server_t *server;
    bool leaving;
    const admin_controls_t *controls;
    void *owner;
    runner_client_t *runner;        /* NULL before admin_set_runner */
    const wall_clock_t *wall_clock; /* NULL before admin_set_wall_clock */
    const upstreams_t *upstreams;   /* NULL before admin_set_upstreams */
    const trace_service_t *traces;  /* NULL before admin_set_traces */
    traffic_service_t *traffic;     /* NULL before admin_set_traffic */
    list_t reload_waiters;          /* reload_waiter_t.link, in admin_control.c */
    list_t recorded;                /* admin_recorded_t.link */
    size_t recorded_count;
    list_t listeners;        /* of kind metrics: admin_listener_t.link, in admin_listeners.c */
    uint64_t failed_upgrade; /* its number; 0: none */
    char failed_reason[200];
};

static inline admin_t *admin_of(const exchange_t *ex)
{
    return local_server_owner(ex);
}

/* ---- requests (admin_request.c) ---- */

/* The fields of a JSON object that a handler takes; ends with NULL. */
typedef const char *const admin_fields_t[];
/* The body as a JSON object with no other fields than these, to be released; or answers and returns NULL.
 * `noun` names the object in sentences: "A preview". */
json_t *admin_object(exchange_t *ex, str_t body, const char *noun, admin_fields_t fields);
/* Fills *out from a field that is true, false, or missing; or answers and returns false. */
MUST_USE bool admin_take_flag(exchange_t *ex, const json_t *object, const char *name, bool *out);
/* Calls `take` for every name=value of the target's query. False if `take` fails, or for a malformed pair. */
MUST_USE bool admin_each_parameter(str_t target, bool (*take)(void *arg, str_t name, str_t value), void *arg);
/* False if `id` is no box id. */
MUST_USE bool admin_take_id(char out[BOX_ID_MAX + 1], str_t id);

/* ---- answers (admin_reply.c): their text may contain a secret, and is cleansed when it is freed ---- */

/* Answers with `body`, and takes it over. */
void admin_reply(exchange_t *ex, int status, json_t *body);
/* Answers {"error": sentence, "code": code, "request_id": ...}; `allow` is the Allow field of a 405, else
 * NULL. */
void admin_error(exchange_t *ex, int status, const char *code, const char *allow, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Answers for a store that failed: 507 if it is full, else 503. `why` is the sentence of store_error. */
void admin_store_error(exchange_t *ex, store_result_t result, const char *why);
/* Such a sentence for store_change_t.disk_error; empty: the disk has no part in it. */
const char *admin_disk_text(int error);
/* The user at the other end of the socket, or -1. */
long admin_peer_uid(const exchange_t *ex);

/* ---- work on the store (admin_job.c) ---- */

typedef struct admin_job admin_job_t;

/* The first member of a handler's job, which is allocated with malloc; freed after `answer`. */
struct admin_job {
    store_job_t job;
    const admin_controls_t *controls; /* for `finished`, which may come after admin_free */
    void *owner;                      /* of `controls` */
    store_thread_t *store;
    exchange_t *ex; /* NULL: the client has gone */
    long uid;       /* of the client */
    /* Called on the loop when the job is done, even if the client has gone; may be NULL. */
    void (*finished)(const admin_job_t *job);
    /* Called after `finished`, once, even if the client has gone; may be NULL. May return true to run the job
     * again, with new work, before the answer. */
    bool (*go_on)(admin_job_t *job);
    /* Called last, to answer the exchange; not called if the client has gone. */
    void (*answer)(exchange_t *ex, admin_job_t *job);
    /* Frees the members of the job; may be NULL. */
    void (*fini)(admin_job_t *job);
    store_result_t result; /* set by admin_job_result */
    char why[256];         /* set by admin_job_result: store_error of a STORE_FAILED or STORE_FULL */
};

/* Takes over `job`, which the exchange waits for; answers 503 if too many jobs wait already. */
void admin_job_start(exchange_t *ex, admin_job_t *job);
/* For `run`: sets the result and its reason. */
void admin_job_result(admin_job_t *job, store_t *store, store_result_t result);

/* ---- previews (admin_previews.c), for admin_create.c and admin_update.c ---- */

/* Parses "{box}/{port}"; false if malformed. */
MUST_USE bool admin_take_preview_path(str_t rest, store_preview_t *preview);

/* The box of a preview; all zero if it cannot be read. On the store's thread. */
void admin_box_of(store_t *store, const store_preview_t *preview, store_box_t *box);
/* The public description of a preview: never a secret, nor its hash. `box`: its box; all zero if not known.
 */
json_t *admin_preview_json(const exchange_t *ex, const store_preview_t *preview, const store_box_t *box);
/* The same with its new secrets. */
json_t *admin_preview_json_with(const exchange_t *ex, const store_preview_t *preview, const store_box_t *box,
                                const preview_secrets_t *secrets);
/* For admin_job_t.finished: logs the change and its user (`how`: "created"). With `kill_tunnels` ends the
 * open tunnels of the preview as it was before. */
void admin_preview_changed(const admin_job_t *job, const char *how, bool kill_tunnels);

/* ---- fields of a preview (admin_preview_fields.c): each answers and returns false for a bad field ---- */

/* The word for a mode other than HOST_HEADER_DEFAULT. */
const char *admin_host_header_text(host_header_t host_header);
/* With auto: the mode that works now; HOST_HEADER_PUBLIC if no other is known to. */
host_header_t admin_host_header_found(const exchange_t *ex, const store_preview_t *preview,
                                      const store_box_t *box);

/* All but name, credentials and tunnels; a missing field leaves its value. `now`: unix seconds. */
MUST_USE bool admin_take_preview_fields(exchange_t *ex, json_t *object, uint64_t now,
                                        store_preview_t *preview);
/* "bearer", "basic" and "public"; a missing one is false. */
MUST_USE bool admin_take_credentials(exchange_t *ex, json_t *object, bool *bearer, bool *basic, bool *open);
/* Answers 409: a change without "public" would take the preview's credentials away. */
void admin_would_become_public(exchange_t *ex, const store_preview_t *preview);
/* Answers 409 `alias_taken`: the alias belongs to another box (STORE_TAKEN). */
void admin_alias_taken(exchange_t *ex, const store_preview_t *preview);

/* ---- API keys (admin_keys.c), for admin_keys_list.c ---- */

/* False if `name` is not valid as a key's. */
MUST_USE bool admin_take_key_name(char out[STORE_KEY_NAME_MAX + 1], str_t name);
/* The public description of a key, never its hash. `conf` decides whether its plan exists. */
json_t *admin_key_json(const conf_t *conf, const store_key_t *key);

/* ---- upstreams (admin_upstreams.c), for admin_status.c ---- */

/* The number of servers of each upstream, and of the usable ones. */
json_t *admin_upstreams_json(const exchange_t *ex);

/* ---- requests about a box (admin_processes.c), for admin_box_log.c ---- */

/* Splits "<id>/<verb>[?query]". False if malformed. */
MUST_USE bool admin_take_verb(str_t rest, str_t *id, str_t *verb, str_t *query);
/* Answers 404: for the address, or for the process box. */
void admin_no_such_address(exchange_t *ex);
void admin_no_such_process(exchange_t *ex, const char *id);

/* ---- workers without an answer (admin_requests.c), for admin_traffic.c ---- */

/* Adds `missing`, and a `note` about them if there are any. */
void admin_add_missing(json_t *answer, const traffic_missing_t *missing, size_t count);

/* ---- handlers: each gets the exchange and its body (local_handler_t) ---- */

void admin_previews_list(exchange_t *ex, str_t body, void *arg);
void admin_previews_create(exchange_t *ex, str_t body, void *arg);
void admin_previews_update(exchange_t *ex, str_t body, void *arg);
void admin_previews_delete(exchange_t *ex, str_t body, void *arg);
void admin_links_list(exchange_t *ex, str_t body, void *arg);
void admin_links_create(exchange_t *ex, str_t body, void *arg);
void admin_links_revoke(exchange_t *ex, str_t body, void *arg);
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
void admin_dev_put(exchange_t *ex, str_t body, void *arg);
void admin_dev_drop(exchange_t *ex, str_t body, void *arg);
void admin_requests_list(exchange_t *ex, str_t body, void *arg);
void admin_requests_kill(exchange_t *ex, str_t body, void *arg);
void admin_recent(exchange_t *ex, str_t body, void *arg);
void admin_traffic(exchange_t *ex, str_t body, void *arg);
void admin_explain(exchange_t *ex, str_t body, void *arg);
void admin_status(exchange_t *ex, str_t body, void *arg);
void admin_status_page(exchange_t *ex, str_t body, void *arg);
void admin_metrics(exchange_t *ex, str_t body, void *arg);
void admin_messages(exchange_t *ex, str_t body, void *arg);
void admin_health(exchange_t *ex, str_t body, void *arg);
void admin_ready(exchange_t *ex, str_t body, void *arg);
void admin_reload(exchange_t *ex, str_t body, void *arg);
void admin_start_drain(exchange_t *ex, str_t body, void *arg);
void admin_start_upgrade(exchange_t *ex, str_t body, void *arg);

/* ---- answers that wait for the store (admin_recorded.c) ---- */

typedef struct admin_recorded admin_recorded_t;

/* Takes over `answer`. NULL at ADMIN_RECORDED_MAX. */
admin_recorded_t *admin_recorded_new(admin_t *admin, json_t *answer);
/* Instead of admin_recorded_wait. */
void admin_recorded_free(admin_recorded_t *recorded);
/* The exchange waits for admin_recorded_done, which must not have been called yet; 10 s later it gets 503. */
void admin_recorded_wait(admin_recorded_t *recorded, exchange_t *ex);
/* The store has the state: answers and frees. `arg` is an admin_recorded_t. */
void admin_recorded_done(void *arg);
/* Frees all, whose exchanges have ended. */
void admin_recorded_free_all(admin_t *admin);

/* ---- listeners of kind metrics (admin_listeners.c) ---- */

void admin_listeners_set_conf(admin_t *admin, const conf_t *conf);
void admin_listeners_drain(admin_t *admin);
uint64_t admin_listeners_clients(const admin_t *admin);
void admin_listeners_free(admin_t *admin);
metrics_admin_t admin_listeners_figures(const admin_t *admin);
/* Fills `out` (size) with those that have a certificate, and returns their number. Their names last as long
 * as the listeners. */
size_t admin_listeners_certificates(const admin_t *admin, metrics_certificate_t *out, size_t size);
/* Adds the figures of one server (admin_status.c). */
void admin_add_figures(const local_server_t *server, metrics_admin_t *figures);

/* The table of addresses (admin_routes.c). */
extern const exchange_step_t admin_steps[];

#endif
