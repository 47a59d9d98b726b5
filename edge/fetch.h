/*
 * HTTP calls of the controller to a container engine or a control plane, on its loop, through libcurl: no
 * redirects, bounded answers, certificates verified. Nothing here is on the data path.
 */
#ifndef BOXEDGE_FETCH_H
#define BOXEDGE_FETCH_H

#include "loop.h"
#include "str.h"

typedef struct fetcher fetcher_t;
typedef struct fetch fetch_t;

fetcher_t *fetcher_new(loop_t *loop);
/* Cancels what is under way, without a word, and nulls. */
void fetcher_free(fetcher_t **fetcher);

typedef struct fetch_request {
    const char *method;
    const char *url;         /* http or https */
    const char *unix_socket; /* NULL: TCP */
    const char *bearer;      /* token, NULL: none; never logged */
    const char *ca_file;     /* NULL: the system's */
    str_t body;              /* JSON, where there is any; copied */
    uint32_t timeout_ms;     /* for all of it; 0: none (a stream) */
    size_t most;             /* bytes of body that are kept; more fails */
} fetch_request_t;

typedef struct fetch_result {
    int status;           /* 0: there was no answer, or not a whole one; `error` says why */
    str_t body;           /* valid during `done` */
    uint32_t retry_after; /* seconds, of the answer's Retry-After; 0: none */
    const char *error;    /* a sentence without secrets; NULL where status is not 0 */
} fetch_result_t;

typedef struct fetch_handlers {
    /* Bytes of a 2xx body as they come; NULL: collected for `done`. */
    void (*data)(void *owner, str_t bytes);
    /* The head of the answer came; NULL: does not matter. */
    void (*head)(void *owner, int status);
    /* The end, once; the fetch is freed after it. */
    void (*done)(void *owner, const fetch_result_t *result);
} fetch_handlers_t;

/* Never calls back from within. All of `request` is copied. */
fetch_t *fetch_start(fetcher_t *fetcher, const fetch_request_t *request, const fetch_handlers_t *handlers,
                     void *owner);
/* No `done`; nulls. NULL is allowed. */
void fetch_cancel(fetch_t **fetch);

#endif
