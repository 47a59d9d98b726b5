/*
 * The failures between the edge and an origin, and the answer to the client for each (docs/http.md,
 * "Errors"): status, stable word, and a sentence that fits a box or a server of the API.
 */
#ifndef BOXEDGE_ORIGIN_FAILURE_H
#define BOXEDGE_ORIGIN_FAILURE_H

#include <stdbool.h>

#include "fault.h"

typedef enum origin_failure {
    ORIGIN_UNREACHABLE = 0, /* the connection failed */
    ORIGIN_NOT_LISTENING,   /* the connection was refused */
    ORIGIN_ON_LOOPBACK,     /* the connection was refused, and an app listens on the box's loopback */
    ORIGIN_CONNECT_TIMEOUT,
    ORIGIN_TLS_FAILED,    /* no TLS session with a valid certificate */
    ORIGIN_IS_EDGE,       /* its address is a listener of the edge itself */
    ORIGIN_CLOSED,        /* it closed before an answer */
    ORIGIN_CUT,           /* it closed in the middle of its answer */
    ORIGIN_BAD_RESPONSE,  /* not valid HTTP */
    ORIGIN_OVER_LIMIT,    /* the head of its answer is over a limit */
    ORIGIN_IS_HTTP2,      /* it answers in HTTP/2 unexpectedly */
    ORIGIN_NOT_HTTP2,     /* it does not speak HTTP/2 as configured */
    ORIGIN_REFUSED,       /* it refused the request unprocessed */
    ORIGIN_NO_WEBSOCKET,  /* WebSockets are not carried over HTTP/2 */
    ORIGIN_TIMEOUT,       /* no answer in time */
    ORIGIN_STALLED,       /* it accepts no more bytes */
    ORIGIN_NO_DESCRIPTOR, /* the edge has no descriptor left */
    ORIGIN_FAILURES,      /* number of failures */
} origin_failure_t;

typedef struct origin_failure_text {
    int status;
    const char *code;
    const char *sentence;
} origin_failure_text_t;

/* The failure for an answer with such a fault. */
origin_failure_t origin_failure_of(fault_kind_t kind);

const origin_failure_text_t *origin_failure_text(origin_failure_t failure, bool is_box);

#endif
