/*
 * The edge's own requests to the API's upstream, for a caller and with the caller's key.
 */
#ifndef BOXEDGE_API_QUERY_H
#define BOXEDGE_API_QUERY_H

#include "subrequest.h"

/* The fields of such a request: the caller's key, User-Agent, Origin and trace, and no more of its own. In
 * ex->arena; the slices are those of the caller's request. */
fields_t api_query_fields(exchange_t *ex);
/* Sends `method` `target` without a body for `ex`; `done` as for subrequest_start. */
subrequest_t *api_query(exchange_t *ex, str_t method, str_t target, subrequest_done_t done, void *arg);
/* Maximum concurrent requests. The first one goes alone, since it shows whether the key is valid. */
#define API_QUERIES_AT_ONCE 8

/* The answer to the GET of paths[index]; `status` 0: no usable answer. False: no more requests and no more
 * calls follow; the exchange may have been answered. The slices are valid until it returns. */
typedef bool api_answer_t(exchange_t *ex, size_t index, int status, const fields_t *fields, str_t body);

typedef struct api_question {
    struct api_questions *all; /* NULL: free */
    subrequest_t *request;
    size_t index;
} api_question_t;

/* Embedded. Zero-filled: idle. */
typedef struct api_questions {
    exchange_t *ex;
    const str_t *paths;
    size_t count, queried, answered;
    api_answer_t *answer;
    void (*done)(exchange_t *ex); /* all answers have come */
    api_question_t at[API_QUERIES_AT_ONCE];
} api_questions_t;

/* Sends a GET for each of `count` paths (at least one), which outlive it. `questions` must be idle
 * (asserted). */
void api_query_each(api_questions_t *questions, exchange_t *ex, const str_t *paths, size_t count,
                    api_answer_t *answer, void (*done)(exchange_t *ex));
/* Cancels the requests: no more calls follow. */
void api_query_stop(api_questions_t *questions);

/* The path of a box by id or name, with the segment encoded. In ex->arena. */
str_t api_box_path(exchange_t *ex, str_t name);
/* Gives the upstream's answer to the caller, with the fields that clients act on; `status` 0: no usable
 * answer (502). The slices live as long as the arena. */
void api_pass_on(exchange_t *ex, int status, const fields_t *fields, str_t body);

#endif
