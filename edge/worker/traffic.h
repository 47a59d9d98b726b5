/*
 * Who makes a worker's requests, for the operator (`boxedge top`): figures of the last seconds by box,
 * preview, API key or upstream. A worker counts only while somebody watches, that is until TRAFFIC_WATCH_MS
 * after the last question; otherwise the end of a request costs a comparison.
 *
 * Memory while it counts: TRAFFIC_NAMES_MAX names for each of the ways to count that were asked for, in a
 * space_saving_t with the figures of TRAFFIC_WINDOW_S seconds beside it, about 350 KiB each. The figures of a
 * name are exact unless it took the entry of another one within that time (traffic_row_t.approximate).
 */
#ifndef BOXEDGE_TRAFFIC_H
#define BOXEDGE_TRAFFIC_H

#include "channel.h"
#include "exchange.h"
#include "traffic_message.h"

#define TRAFFIC_WATCH_MS 60000
#define TRAFFIC_TICK_MS  1000
#define TRAFFIC_WINDOW_S 5
/* Maximum open exchanges whose bytes are part of the figures. */
#define TRAFFIC_OPEN_MAX 65536

typedef struct traffic traffic_t;

traffic_t *traffic_new(context_t *context);
/* Nulls. */
void traffic_free(traffic_t **traffic);

/* Hook (pipeline.h): counts an exchange that ends. */
void traffic_end(exchange_t *ex);
/* Answers TRAFFIC_TOP as question `number`, and counts by `by` from now on if it does not yet. Times are
 * those of loop_precise_us. */
void traffic_answer(traffic_t *traffic, traffic_by_t by, uint64_t now_us, channel_t *channel,
                    uint64_t number);
/* A second is over. A timer calls it. */
void traffic_tick(traffic_t *traffic, uint64_t now_us);
/* Whether it counts at all. */
bool traffic_counts(const traffic_t *traffic);

#endif
