/*
 * HTTP calls from the controller to a container engine or a control plane, on its loop, through libcurl. No
 * redirects, proxies or cookies; answers are bounded, certificates verified, TLS is 1.2 or later. The data
 * path makes no such call. The process ignores SIGPIPE.
 */
#ifndef BOXEDGE_FETCH_H
#define BOXEDGE_FETCH_H

#include "loop.h"
#include "str.h"

typedef struct fetcher fetcher_t;
typedef struct fetch fetch_t;

/* Maximum bytes of a response head; a larger one fails. */
#define FETCH_HEAD_MAX 65536
/* Upper limit applied to Retry-After, in seconds. */
#define FETCH_RETRY_AFTER_MAX 86400
/* Maximum concurrent calls of a fetcher; further ones fail. */
#define FETCH_CALLS_MAX 256

fetcher_t *fetcher_new(loop_t *loop);
/* Cancels all calls without calling their handlers, and nulls. Not from within a handler. */
void fetcher_free(fetcher_t **fetcher);

typedef struct fetch_request {
    const char *method;
    const char *url;         /* http or https, without user and password */
    const char *unix_socket; /* NULL: TCP */
    const char *bearer;      /* token of printable ASCII, NULL: none; never logged */
    const char *api_key;     /* in X-Box-Api-Key, as `bearer` */
    const char *host;    /* value of Host; certificates are checked against `url`; NULL: the host of `url` */
    const char *ca_file; /* NULL: the system's authorities */
    const char *certificate; /* PEM of the client certificate, whose key is `key`; NULL: none */
    const char *key;
    const char *connect_to; /* "address:port" to connect to in place of that of `url`; NULL: that of `url` */
    bool http2;             /* HTTP/2, without TLS by prior knowledge; an HTTP/1 answer fails */
    str_t body;             /* JSON, or empty */
    uint32_t timeout_ms;    /* for the whole call; 0: no limit (a stream) */
    size_t most;            /* maximum bytes of collected body; a larger one fails */
    bool fresh; /* use a new connection. Otherwise libcurl may reuse one; if that proves dead before the first
                   byte of the answer, libcurl resends the request, of any method, at most five times */
    bool alone; /* use a new connection and close it afterwards */
} fetch_request_t;

typedef struct fetch_result {
    int status;           /* 0: no complete answer; `error` has the reason */
    str_t body;           /* valid during `done` */
    uint32_t retry_after; /* seconds, from the answer's Retry-After; 0: none */
    const char *error;    /* a sentence without secrets; NULL if status is not 0 */
    bool too_large;       /* the failure: more than `most` bytes of body */
    bool ours;            /* the edge caused the failure: one of its files, memory, too many calls */
} fetch_result_t;

typedef struct fetch_handlers {
    /* Bytes of a 2xx body as they arrive, unbounded. NULL: collected for `done`, as other bodies are. */
    void (*data)(void *owner, str_t bytes);
    /* The head of the answer has arrived. May be NULL. */
    void (*head)(void *owner, int status);
    /* Called once, at the end. The fetch is freed after it. */
    void (*done)(void *owner, const fetch_result_t *result);
} fetch_handlers_t;

/* Never calls back from within; may be called from handlers. Copies all of `request`. */
fetch_t *fetch_start(fetcher_t *fetcher, const fetch_request_t *request, const fetch_handlers_t *handlers,
                     void *owner);
/* Stops all callbacks and nulls. May be called from any handler. NULL is a no-op. */
void fetch_cancel(fetch_t **fetch);

#endif
