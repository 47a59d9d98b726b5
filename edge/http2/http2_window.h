/*
 * The window that one stream gives its peer (RFC 9113 section 5.2), towards clients and towards origins: how
 * much may be under way or held at a time. It follows the bandwidth-delay product. As long as the reader
 * takes half of it or more within a round trip, it grows fourfold in each; where the reader takes less than a
 * quarter, it halves. A reader that is slow keeps it small, whatever the distance.
 *
 * Credit cannot be taken back. So what is advertised above the first window counts to the memory budget at
 * once, and turns into held bytes as it is used; where the budget is short it is not renewed.
 */
#ifndef BOXEDGE_HTTP2_WINDOW_H
#define BOXEDGE_HTTP2_WINDOW_H

#include <nghttp2/nghttp2.h>

#include "account.h"

/* The protocol's default, which each stream begins with, and the widest. */
#define HTTP2_WINDOW_MIN 65535
#define HTTP2_WINDOW_MAX (16 * 1024 * 1024)
/* A round trip counts as no longer than this: a peer that answers late gets no more for it. */
#define HTTP2_ROUND_TRIP_MAX_MS 1000

typedef struct http2_window {
    uint32_t size;     /* what may be under way and held */
    uint32_t before;   /* when the current round trip began */
    uint32_t counted;  /* of the credit that the peer has, in the memory budget */
    bool ramps;        /* half of it or more was used in the round trip before this one */
    bool ran_dry;      /* in the current one the reader had taken all that had come */
    uint64_t taken;    /* by the reader in the current round trip */
    uint64_t since_ms; /* when that began; 0: nothing came yet */
} http2_window_t;

/* From SETTINGS, sent at `sent_ms`, to their ACK: no shorter than the clock tells. */
uint32_t http2_round_trip_ms(uint64_t sent_ms, uint64_t now_ms);

/* A window of HTTP2_WINDOW_MIN. */
void http2_window_init(http2_window_t *window);

/*
 * The reader took n bytes. `held`: others still wait for it. Where they do for a whole round trip, the window
 * is not what slows the peer. `round_trip_ms`: of the connection; 0: not known, then the window stays. It
 * grows to `most` at most.
 */
void http2_window_took(http2_window_t *window, size_t n, bool held, uint64_t now_ms, uint32_t round_trip_ms,
                       uint32_t most);

/*
 * How much credit to advertise now, 0 where it is not worth a frame. `open`: credit that the peer has;
 * `held`: bytes that wait for the reader; `budget`: bytes that are left of the memory budget.
 */
uint32_t http2_window_grant(const http2_window_t *window, uint32_t open, size_t held, uint64_t budget);

/* Credit that the peer has on stream `id`. */
uint32_t http2_window_open(nghttp2_session *session, int32_t id);
/* Counts the credit that the peer has on stream `id` to `account`. Call it when bytes came or were taken. */
void http2_window_count(http2_window_t *window, nghttp2_session *session, int32_t id, account_t *account);
/* The same, and advertises what http2_window_grant says. */
void http2_window_renew(http2_window_t *window, nghttp2_session *session, int32_t id, size_t held,
                        uint64_t budget, account_t *account);
/* Nothing more comes: no credit is counted any more. */
void http2_window_end(http2_window_t *window, account_t *account);

#endif
