/*
 * The window that a stream gives its peer (RFC 9113 section 5.2), towards clients and origins: the maximum
 * bytes under way or held. It follows the bandwidth-delay product. While the reader takes half of it or more
 * within a round trip, it grows fourfold per round trip. If the reader takes less than a quarter, it halves.
 * A slow reader keeps it small at any distance.
 *
 * Credit cannot be taken back. So advertised credit above the first window counts to the memory budget
 * immediately, and turns into held bytes as it is used. If the budget is short, it is not renewed.
 */
#ifndef BOXEDGE_HTTP2_WINDOW_H
#define BOXEDGE_HTTP2_WINDOW_H

#include <nghttp2/nghttp2.h>

#include "account.h"

/* The protocol's default, with which each stream begins, and the maximum. */
#define HTTP2_WINDOW_MIN 65535
#define HTTP2_WINDOW_MAX (16 * 1024 * 1024)
/* Upper bound of the measured round trip, so that a peer gains nothing by late answers. */
#define HTTP2_ROUND_TRIP_MAX_MS 1000

typedef struct http2_window {
    uint32_t size;     /* maximum bytes under way and held */
    uint32_t before;   /* size at the start of the current round trip */
    uint32_t counted;  /* of the peer's credit, in the memory budget */
    bool ramps;        /* the previous round trip used half of it or more, and ran dry */
    bool ran_dry;      /* the reader took all received bytes at some point of this round trip */
    uint64_t taken;    /* by the reader in the current round trip */
    uint64_t since_ms; /* start of the current round trip; 0: nothing came yet */
} http2_window_t;

/* The time from SETTINGS, sent at `sent_ms`, to their ACK: never shorter than the real time. */
uint32_t http2_round_trip_ms(uint64_t sent_ms, uint64_t now_ms);

/* Starts with a window of HTTP2_WINDOW_MIN. */
void http2_window_init(http2_window_t *window);

/*
 * The reader took n bytes. `held`: more bytes wait for it. If they do for a whole round trip, the window is
 * not the bottleneck. `round_trip_ms` is that of the connection; 0 (not known): the window stays. It grows to
 * at most `most`.
 */
void http2_window_took(http2_window_t *window, size_t n, bool held, uint64_t now_ms, uint32_t round_trip_ms,
                       uint32_t most);

/*
 * The credit to advertise now; 0 if it is not worth a frame. `open`: the peer's credit; `held`: bytes that
 * wait for the reader; `budget`: bytes left of the memory budget.
 */
uint32_t http2_window_grant(const http2_window_t *window, uint32_t open, size_t held, uint64_t budget);

/* The peer's credit on stream `id`. */
uint32_t http2_window_open(nghttp2_session *session, int32_t id);
/* Counts the peer's credit on stream `id` to `account`. Call it when bytes came or were taken. */
void http2_window_count(http2_window_t *window, nghttp2_session *session, int32_t id, account_t *account);
/* After http2_window_count, which frees budget: advertises the credit of http2_window_grant, with the
 * `budget` that is left then, and counts it. */
void http2_window_renew(http2_window_t *window, nghttp2_session *session, int32_t id, size_t held,
                        uint64_t budget, account_t *account);
/* Nothing more comes: stops counting credit. */
void http2_window_end(http2_window_t *window, account_t *account);

#endif
