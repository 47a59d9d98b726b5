/*
 * What the edge asks the API's upstream itself, on behalf of a caller and with the caller's key.
 */
#ifndef BOXEDGE_API_ASK_H
#define BOXEDGE_API_ASK_H

#include "subrequest.h"

/* Sends `method` `target` without a body for `ex`; `done` as for subrequest_start. */
subrequest_t *api_ask(exchange_t *ex, str_t method, str_t target, subrequest_done_t done, void *arg);
/* Asked of the upstream at a time; the first one alone, which says whether the key counts. */
#define API_ASKED_AT_ONCE 8

/* The answer to the GET of paths[index]; `status` 0: there is none of use. False: nothing more is asked, and
 * nothing called back, also where the exchange was answered meanwhile. The slices live until it returns. */
typedef bool api_answer_t(exchange_t *ex, size_t index, int status, const fields_t *fields, str_t body);

typedef struct api_question {
    struct api_questions *all; /* NULL: free */
    subrequest_t *request;
    size_t index;
} api_question_t;

/* Embedded; zero-filled asks nothing. */
typedef struct api_questions {
    exchange_t *ex;
    const str_t *paths;
    size_t count, asked, answered;
    api_answer_t *answer;
    void (*done)(exchange_t *ex); /* all were answered */
    api_question_t at[API_ASKED_AT_ONCE];
} api_questions_t;

/* Asks for each of `count` paths (at least one), which outlive it. `questions` asks nothing else then. */
void api_ask_each(api_questions_t *questions, exchange_t *ex, const str_t *paths, size_t count,
                  api_answer_t *answer, void (*done)(exchange_t *ex));
/* Nothing is called back any more. */
void api_ask_stop(api_questions_t *questions);

/* The path of a box, by id or name: the segment is encoded. In ex->arena. */
str_t api_box_path(exchange_t *ex, str_t name);
/* Gives the caller the upstream's answer as its own; `status` 0: that was of no use (502). The slices live as
 * long as the arena. */
void api_pass_on(exchange_t *ex, int status, str_t content_type, str_t body);

#endif
