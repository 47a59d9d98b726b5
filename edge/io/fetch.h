/*
 * HTTP calls of the controller to a container engine or a control plane, on its loop, through libcurl: no
 * redirects, no proxy, no cookies, bounded answers, certificates verified, TLS 1.2 or later. Nothing here is
 * on the data path. The process ignores SIGPIPE.
 */
#ifndef BOXEDGE_FETCH_H
#define BOXEDGE_FETCH_H

#include "loop.h"
#include "str.h"

typedef struct fetcher fetcher_t;
typedef struct fetch fetch_t;

/* The bytes of an answer's head, at most: more fails. */
#define FETCH_HEAD_MAX 65536
/* The most that Retry-After is believed, in seconds. */
#define FETCH_RETRY_AFTER_MAX 86400
/* Calls of a fetcher under way at once; further ones fail. */
#define FETCH_CALLS_MAX 256

fetcher_t *fetcher_new(loop_t *loop);
/* Cancels what is under way, without a word, and nulls. Not from within a handler. */
void fetcher_free(fetcher_t **fetcher);

typedef struct fetch_request {
    const char *method;
    const char *url;         /* http or https, without user and password */
    const char *unix_socket; /* NULL: TCP */
    const char *bearer;      /* token of printable ASCII, NULL: none; never logged */
    const char *api_key;     /* in X-Box-Api-Key, as `bearer` */
    const char *host;    /* in place of the host of `url`, which certificates are checked by; NULL: that */
    const char *ca_file; /* NULL: the system's */
    const char *certificate; /* PEM of our own, with its key; NULL: none is shown */
    const char *key;
    const char *connect_to; /* "address:port" that is connected to, whatever `url` names; NULL: as it says */
    bool http2;             /* HTTP/2, without TLS by prior knowledge; an answer in HTTP/1 fails */
    str_t body;             /* JSON, where there is any */
    uint32_t timeout_ms;    /* for all of it; 0: none (a stream) */
    size_t most;            /* bytes of body that are collected; more fails */
    bool fresh;             /* on a new connection. Else one that was kept may be used; where that turns out
                               dead before a byte of the answer came, libcurl sends the request again, five
                               times at most, whatever its method */
    bool alone;             /* on a new connection, which is closed after it */
} fetch_request_t;

typedef struct fetch_result {
    int status;           /* 0: there was no answer, or not a whole one; `error` says why */
    str_t body;           /* valid during `done` */
    uint32_t retry_after; /* seconds, of the answer's Retry-After; 0: none */
    const char *error;    /* a sentence without secrets; NULL where status is not 0 */
    bool ours;            /* no answer because of ourselves: a file of ours, memory, too many calls */
} fetch_result_t;

typedef struct fetch_handlers {
    /* Bytes of a 2xx body as they come, without a bound; NULL: collected for `done`, as other bodies are. */
    void (*data)(void *owner, str_t bytes);
    /* The head of the answer came; NULL: does not matter. */
    void (*head)(void *owner, int status);
    /* The end, once; the fetch is freed after it. */
    void (*done)(void *owner, const fetch_result_t *result);
} fetch_handlers_t;

/* Never calls back from within; may be called from handlers. All of `request` is copied. */
fetch_t *fetch_start(fetcher_t *fetcher, const fetch_request_t *request, const fetch_handlers_t *handlers,
                     void *owner);
/* No handler is called any more; nulls. From any handler. NULL is allowed. */
void fetch_cancel(fetch_t **fetch);

#endif
