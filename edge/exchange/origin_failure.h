/*
 * What can go wrong between the edge and an origin, and what the client is told of it (docs/http.md,
 * "Errors"): status, stable word, and a sentence that fits a box or a server of the API.
 */
#ifndef BOXEDGE_ORIGIN_FAILURE_H
#define BOXEDGE_ORIGIN_FAILURE_H

#include <stdbool.h>

#include "fault.h"

typedef enum origin_failure {
    ORIGIN_UNREACHABLE = 0, /* the connection failed */
    ORIGIN_NOT_LISTENING,   /* it was refused */
    ORIGIN_ON_LOOPBACK,     /* it was refused, and an app listens on the box's loopback */
    ORIGIN_CONNECT_TIMEOUT,
    ORIGIN_TLS_FAILED,    /* no TLS session with a certificate that is right */
    ORIGIN_IS_EDGE,       /* its address is a listener of the edge itself */
    ORIGIN_CLOSED,        /* ended before an answer */
    ORIGIN_CUT,           /* ended in the middle of its answer */
    ORIGIN_BAD_RESPONSE,  /* not valid HTTP */
    ORIGIN_OVER_LIMIT,    /* the head of its answer is over a limit */
    ORIGIN_IS_HTTP2,      /* answers in HTTP/2, as nobody said that it would */
    ORIGIN_NOT_HTTP2,     /* does not speak HTTP/2, as it should */
    ORIGIN_REFUSED,       /* refused the request without looking at it */
    ORIGIN_NO_WEBSOCKET,  /* WebSockets are not passed on over HTTP/2 */
    ORIGIN_TIMEOUT,       /* no answer in time */
    ORIGIN_STALLED,       /* takes nothing more */
    ORIGIN_NO_DESCRIPTOR, /* the edge has none left for a connection */
    ORIGIN_FAILURES,      /* how many there are */
} origin_failure_t;

typedef struct origin_failure_text {
    int status;
    const char *code;
    const char *sentence;
} origin_failure_text_t;

/* What an answer with such a fault is. */
origin_failure_t origin_failure_of(fault_kind_t kind);

const origin_failure_text_t *origin_failure_text(origin_failure_t failure, bool is_box);

#endif
