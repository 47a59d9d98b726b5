/*
 * The edge's answers in place of a box that does not run yet: the waiting page, and failures.
 */
#ifndef BOXEDGE_WAKE_REPLY_H
#define BOXEDGE_WAKE_REPLY_H

#include "exchange.h"
#include "wake_message.h"

/* Retry-After of answers while a box starts. */
#define WAKE_RETRY_AFTER_S 5

/* Whether the exchange is a navigation by a person's browser. Only navigations get pages. */
bool wake_reply_is_navigation(const exchange_t *ex);
/* Answers a navigation with the waiting page: 503, `Retry-After`. */
void wake_reply_page(exchange_t *ex, wake_stage_t stage, uint64_t elapsed_ms);
/*
 * Answers a wake that ended with `result` (not WAKE_OK): 404, 502 or 503 with the known reason. A navigation
 * gets a page with an offer to retry if a retry can help.
 */
void wake_reply_failed(exchange_t *ex, wake_result_t result, const wake_answer_t *answer);
void wake_reply_not_exposed(exchange_t *ex);
/* Answers a page that connects again by itself and has woken the box before: 503 box_asleep. A page that
 * reloads itself gets a page with a way to wake the box. */
void wake_reply_forgotten(exchange_t *ex);
/* The result of a wake in sentences for people, in ASCII. The text is part of `answer` (may be NULL), in
 * ex->arena, or static. It has output of the box if access_reads_details allows that. */
const char *wake_reply_sentence(exchange_t *ex, wake_result_t result, const wake_answer_t *answer);
/* Seconds after which a retry can help, at least 1. */
unsigned wake_reply_retry_after(const wake_answer_t *answer);

#endif
