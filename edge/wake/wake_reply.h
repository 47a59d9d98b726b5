/*
 * How the edge answers in place of a box that does not run yet: the waiting page, and failures.
 */
#ifndef BOXEDGE_WAKE_REPLY_H
#define BOXEDGE_WAKE_REPLY_H

#include "exchange.h"
#include "wake_message.h"

/* While a box starts, answers say when to come again. */
#define WAKE_RETRY_AFTER_S 5

/* The exchange is a person's browser opening a page: what may get pages. */
bool wake_reply_is_navigation(const exchange_t *ex);
/* The waiting page, to a navigation: 503, `Retry-After`. */
void wake_reply_page(exchange_t *ex, wake_stage_t stage, uint64_t elapsed_ms);
/*
 * The wake ended with `result` (not WAKE_OK): 404, 502 or 503 with what is known. A navigation gets the page
 * that offers to try again where that can be of use.
 */
void wake_reply_failed(exchange_t *ex, wake_result_t result, const wake_answer_t *answer);
void wake_reply_not_exposed(exchange_t *ex);
/* The request is of a page that connects again by itself, and that has woken the box before: 503 box_asleep,
 * and to one that loads itself again a page with a way to wake it. */
void wake_reply_forgotten(exchange_t *ex);
/* A wake's end in words: sentences for people, in ASCII; of `answer` (may be NULL), of the arena, or static.
 * Output of the box is in them where access_reads_details lets this reader read it. */
const char *wake_reply_sentence(exchange_t *ex, wake_result_t result, const wake_answer_t *answer);
/* Seconds after which trying again is of use, at least 1. */
unsigned wake_reply_retry_after(const wake_answer_t *answer);

#endif
