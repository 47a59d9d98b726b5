/*
 * An exchange with the API (docs/api.md): whose key it shows, what that key may still use, and which server
 * has it. Made by the first step that an API host has of its own, gone with the exchange.
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

/* A request is tried at so many servers, at most, where none of them could be connected to. */
#define API_ATTEMPTS_MAX 3
/* What is no key at all: longer than this, or not by keys_is_token. */
#define API_KEY_LEN_MAX 512

/* What the edge knows of the key that a request shows. */
typedef enum api_key_state {
    API_KEY_NONE,     /* it shows none */
    API_KEY_NEEDLESS, /* it shows none, and passes without */
    API_KEY_BAD,      /* what it shows cannot be one */
    API_KEY_KNOWN,    /* it has a name here */
    API_KEY_ACCEPTED, /* the upstream has taken it before */
    API_KEY_UNPROVEN, /* the upstream will decide */
    API_KEY_REFUSED,  /* the upstream has refused it lately */
    API_KEY_REVOKED,
} api_key_state_t;

/* A call of a preview endpoint (api_preview.c). */
typedef struct api_preview api_preview_t;
/* A call that deletes boxes, or comes after one (api_deletion.c). */
typedef struct api_deletion api_deletion_t;

/* ex->api. */
typedef struct api {
    conf_t *conf; /* the snapshot that it began with; one reference */
    const conf_upstream_t *upstream;
    unsigned upstream_index;  /* in the shared balance */
    origin_tls_t *origin_tls; /* of `conf`; one reference, or NULL */

    /* by the key step */
    api_key_state_t key_state;
    limit_id_t key;          /* where one is shown */
    str_t key_name;          /* of API_KEY_KNOWN */
    const conf_plan_t *plan; /* by which it is limited; NULL: it is not */
    bool plan_of_client;     /* it draws on its client address's bucket */
    bool preflight;          /* of a web page's browser */

    /* by the limit step */
    limit_ticket_t ticket;
    limit_state_t limits; /* where `plan` is not NULL */
    limit_result_t limited;

    /* by the preview step */
    api_path_t path; /* by the deletion step, as the next one */
    api_deletion_t *deletion;
    api_preview_t *preview; /* of a preview endpoint */

    /* by the pick step */
    balance_pick_t pick;
    balance_outcome_t outcome;
    uint64_t tried;        /* slots of servers that failed */
    unsigned attempts;     /* servers that it was given to */
    uint64_t picked_us;    /* loop_precise_us */
    uint32_t latency_us;   /* of the server that answered */
    bool unwritten;        /* the last server failed before a byte was written to it */
    bool written_again;    /* it was sent a second time after bytes of it had been written */
    place_waiter_t waiter; /* while every server is full */
    uint32_t queued_ms;
} api_t;

/* A plan of the configuration as auth/limit.h takes it. */
limit_plan_t api_limit_plan(const conf_plan_t *conf);

/* A bucket of its own for each IPv4 address and each IPv6 /64, with names that no key's hash has; `what` (of
 * at most 15 letters) tells several of one client apart. (api_limit.c) */
limit_id_t api_client_id(const exchange_t *ex, const char *what);

/* Whether the request is a preflight. (api_cors.c, as the next two) */
bool api_is_preflight(const exchange_t *ex);
/* Answers a preflight of an origin in api.cors; false: it is none, and the upstream answers. */
MUST_USE bool api_cors_answers(exchange_t *ex);
/* Lets pages of an origin in api.cors read the response, where it does not say who may. */
void api_cors_add(exchange_t *ex, fields_t *fields);

/* Takes a key of the API that is known here out of a request to a preview: a box is not to see it. */
void api_key_hide(exchange_t *ex);

/* The steps, in their order (pipeline.c). */
step_result_t step_api_key(exchange_t *ex);
step_result_t step_api_limit(exchange_t *ex);
step_result_t step_api_deletion(exchange_t *ex);
step_result_t step_api_preview(exchange_t *ex);
step_result_t step_api_pick(exchange_t *ex);

/* Makes ex->api. */
api_t *api_new(exchange_t *ex);
/* The same for a request that the edge makes for another: with its key, configuration and no limits. */
void api_inherit(exchange_t *ex, const api_t *from);

/*
 * The server that has the exchange failed before a response: gives it to another one (ex->target) where the
 * request may be sent again and the retry budget allows it. False: the failure stands.
 */
MUST_USE bool api_again(exchange_t *ex, const resend_facts_t *facts);
/*
 * Hooks (pipeline.h), also of exchanges that are not with the API. A final head has come from the server:
 * what it says of the server and of the key. It gets the fields that say how much the key may still use.
 */
void api_response_head(exchange_t *ex);
/* The same fields, for an answer of the edge's own. */
void api_local_head(exchange_t *ex);
/* The server failed, and the exchange is not given to another. */
void api_failed(exchange_t *ex, origin_failure_t failure);
/* The deletion step's claim: the controller has noted the boxes. Tells it how the call ended where no answer
 * has. Idempotent. (api_deletion.c) */
void api_deletion_end(exchange_t *ex);
/* What the response's head says of boxes that were to be deleted. (api_deletion.c) */
void api_deletion_answered(exchange_t *ex);
/* Gives the server's place back, with api->outcome. */
void api_release_server(exchange_t *ex);
/* The exchange has ended and waits for nothing: gives everything back. Nulls ex->api, which may be NULL. */
void api_end(exchange_t *ex);

#endif
