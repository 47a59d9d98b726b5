/*
 * An exchange with the API (docs/api.md): its key, the remaining use of the key, and its server. The first
 * step of the API hosts makes it, and it ends with the exchange.
 */
#ifndef BOXEDGE_API_H
#define BOXEDGE_API_H

#include "api_path.h"
#include "balance.h"
#include "exchange.h"
#include "keys.h"
#include "limit.h"
#include "origin_tls.h"
#include "resend.h"
#include "upstream_queue.h"

/* Maximum picks of a server for one request. */
#define API_ATTEMPTS_MAX 3
/* Maximum bytes of a key. A longer text, or one that fails keys_is_token, is no key. */
#define API_KEY_LEN_MAX 512

/* The edge's knowledge of the key that a request shows. */
typedef enum api_key_state {
    API_KEY_NONE,     /* no key */
    API_KEY_NEEDLESS, /* no key, and passes without one */
    API_KEY_BAD,      /* cannot be a key */
    API_KEY_KNOWN,    /* has a name here */
    API_KEY_ACCEPTED, /* the upstream has accepted it before */
    API_KEY_UNPROVEN, /* the upstream will decide */
    API_KEY_REFUSED,  /* the upstream has lately refused it */
    API_KEY_REVOKED,
} api_key_state_t;

/* A call of a preview endpoint (api_preview.c). */
typedef struct api_preview api_preview_t;
/* A call that deletes boxes, or a GET after one (api_deletion.c). */
typedef struct api_deletion api_deletion_t;

/* ex->api. */
typedef struct api {
    conf_t *conf; /* the snapshot at its start; one reference */
    const conf_upstream_t *upstream;
    unsigned upstream_index;  /* in the shared balance */
    origin_tls_t *origin_tls; /* of `conf`; one reference, or NULL */

    /* by the key step */
    api_key_state_t key_state;
    limit_id_t key;          /* if one is shown */
    str_t key_name;          /* of API_KEY_KNOWN */
    const conf_plan_t *plan; /* limits it; NULL: no limit */
    bool plan_of_client;     /* uses the bucket of its client address */
    bool preflight;          /* of a web page's browser */

    /* by the limit step */
    limit_ticket_t ticket;
    limit_state_t limits; /* if `plan` is not NULL */
    limit_result_t limited;

    /* by the preview step */
    api_path_t path; /* by the deletion step, like the next one */
    api_deletion_t *deletion;
    api_preview_t *preview; /* of a preview endpoint */

    /* by the pick step */
    balance_pick_t pick;
    balance_outcome_t outcome;
    uint64_t tried;           /* slots of failed servers */
    unsigned attempts;        /* number of picks */
    uint64_t picked_us;       /* loop_precise_us */
    uint32_t latency_us;      /* of the server that answered */
    bool unwritten;           /* the last server failed before a byte was written to it */
    bool written_again;       /* sent a second time after bytes of it were written */
    upstream_waiter_t waiter; /* while every server is full */
    uint32_t queued_ms;
} api_t;

/* Gives each plan of a new configuration its counters. (api_limit.c) */
void api_limit_name_plans(worker_t *worker);
/* A plan of the configuration in the form of auth/limit.h. */
limit_plan_t api_limit_plan(const conf_plan_t *conf);

/* The bucket of an IPv4 address or an IPv6 /64, with a name that no key's hash has. `what` (at most 14
 * letters) distinguishes the buckets of one client. (api_limit.c) */
limit_id_t api_client_id(const exchange_t *ex, const char *what);

/* Whether the request is a preflight. (api_cors.c, like the next two) */
bool api_is_preflight(const exchange_t *ex);
/* Answers a preflight of an origin in api.cors. False: not in the list, and the upstream answers. */
MUST_USE bool api_cors_answers(exchange_t *ex);
/* Allows pages of an origin in api.cors to read the response, unless the response names an origin itself. */
void api_cors_add(exchange_t *ex, fields_t *fields);

/* Removes a known API key from a request to a preview, so that the box does not see it. */
void api_key_hide(exchange_t *ex);

/* The steps, in their order (pipeline.c). */
step_result_t step_api_key(exchange_t *ex);
step_result_t step_api_limit(exchange_t *ex);
step_result_t step_api_deletion(exchange_t *ex);
step_result_t step_api_preview(exchange_t *ex);
step_result_t step_api_pick(exchange_t *ex);

/* Makes ex->api. */
api_t *api_new(exchange_t *ex);
/* The same for a subrequest: with the key and configuration of `from`, and no limits. */
void api_inherit(exchange_t *ex, const api_t *from);

/*
 * The exchange's server failed before a response. Gives the exchange to another one (ex->target) if the
 * request may be sent again and the retry budget allows it. False: the failure stands.
 */
MUST_USE bool api_again(exchange_t *ex, const resend_facts_t *facts);
/*
 * Hooks (pipeline.h), also for exchanges that are not with the API. The server's final head has come: learns
 * about the server and the key, and adds the fields with the remaining use of the key.
 */
void api_response_head(exchange_t *ex);
/* Adds the same fields to the edge's own answer. */
void api_local_head(exchange_t *ex);
/* The server failed, and no other one gets the exchange. */
void api_failed(exchange_t *ex, origin_failure_t failure);
/* Ends the deletion step's claim: the controller has noted the boxes. Reports the end of the call if no
 * answer has. Idempotent. (api_deletion.c) */
void api_deletion_end(exchange_t *ex);
/* Learns from the response's head how a deletion of boxes ended. (api_deletion.c) */
void api_deletion_answered(exchange_t *ex);
/* Gives the server's slot back, with api->outcome. */
void api_release_server(exchange_t *ex);
/* The exchange has ended and does not wait: gives everything back. Nulls ex->api, which may be NULL. */
void api_end(exchange_t *ex);

#endif
