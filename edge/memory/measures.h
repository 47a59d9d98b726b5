/*
 * Histograms and tables of counters of one worker, in its slot of the shared segment (counters.h). Only their
 * owner writes them: plain loads and stores, no lock and no division. Every dimension is bounded.
 */
#ifndef BOXEDGE_MEASURES_H
#define BOXEDGE_MEASURES_H

#include <stdatomic.h>
#include <stdint.h>

#include "error_code.h"

/* ---- histograms of durations ---- */

/* Upper bounds in microseconds, each at least twice the one before: so that each power of two has at most one
 * of them. The last bucket has no bound. */
#define HISTOGRAM_BOUNDS  19
#define HISTOGRAM_BUCKETS (HISTOGRAM_BOUNDS + 1)
extern const uint32_t histogram_bounds_us[HISTOGRAM_BUCKETS]; /* the last is UINT32_MAX */
/* For a duration of i + 1 significant bits: the first bucket whose bound is at least 2^i. */
extern const uint8_t histogram_first[32];

/* Each duration counts in one bucket; readers add them up. */
typedef struct histogram {
    _Atomic uint64_t counts[HISTOGRAM_BUCKETS];
    _Atomic uint64_t sum_us;
} histogram_t;

/* The bucket of a duration: the first whose bound is not below it. */
static inline unsigned histogram_bucket(uint64_t us)
{
    uint32_t bounded = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    unsigned first = histogram_first[31 - __builtin_clz(bounded | 1)];
    return first + (bounded > histogram_bounds_us[first]);
}

static inline void histogram_add(histogram_t *histogram, uint64_t us)
{
    _Atomic uint64_t *count = &histogram->counts[histogram_bucket(us)];
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_relaxed);
    atomic_store_explicit(&histogram->sum_us,
                          atomic_load_explicit(&histogram->sum_us, memory_order_relaxed) + us,
                          memory_order_relaxed);
}

/* ---- kinds of requests ---- */

typedef enum measure_kind {
    MEASURE_PREVIEW,
    MEASURE_API,
    MEASURE_REDIRECT,
    MEASURE_HEALTH,
    MEASURE_NONE, /* refused before the edge knew */
    MEASURE_KINDS
} measure_kind_t;

/* Of the client, or of an origin. */
typedef enum measure_protocol {
    MEASURE_H1,
    MEASURE_H2,
    MEASURE_H3, /* room for it */
    MEASURE_PROTOCOLS
} measure_protocol_t;

/* "preview", "h1". */
const char *measure_kind_text(measure_kind_t kind);
const char *measure_protocol_text(measure_protocol_t protocol);

/* ---- status codes ---- */

/* Those with a counter of their own: the registry of RFC 9110 section 16.2.1 without interim ones. */
/* clang-format off */
#define MEASURE_STATUSES(X) \
    X(101) X(200) X(201) X(202) X(203) X(204) X(205) X(206) X(207) X(208) X(226) X(300) \
    X(301) X(302) X(303) X(304) X(305) X(307) X(308) X(400) X(401) X(402) X(403) X(404) \
    X(405) X(406) X(407) X(408) X(409) X(410) X(411) X(412) X(413) X(414) X(415) X(416) \
    X(417) X(418) X(421) X(422) X(423) X(424) X(425) X(426) X(428) X(429) X(431) X(451) \
    X(500) X(501) X(502) X(503) X(504) X(505) X(506) X(507) X(508) X(510) X(511)
/* clang-format on */

enum {
#define X(status) MEASURE_STATUS_##status,
    MEASURE_STATUSES(X)
#undef X
        MEASURE_STATUS_OTHER,
    MEASURE_STATUS_NONE, /* the request ended without a response */
    MEASURE_STATUS_COUNT
};

/* The cell of a status; 0: none. */
unsigned measure_status(int status);
/* "200", "other", "none". */
const char *measure_status_text(unsigned cell, char out[8]);

/* ---- names of the configuration ---- */

#define MEASURE_LISTENERS 64
#define MEASURE_PLANS     256

/* Counters of a listener or a plan. `id` is a hash of its name, so that a reload which moves or removes it
 * leaves the others' counts alone. */
typedef struct measure_cell {
    _Atomic uint64_t id; /* 0: free */
    _Atomic uint64_t counts[3];
} measure_cell_t;

enum { MEASURE_LISTENER_CONNECTIONS, MEASURE_LISTENER_OPEN, MEASURE_LISTENER_REQUESTS };
enum { MEASURE_PLAN_REQUESTS, MEASURE_PLAN_REFUSED, MEASURE_PLAN_SHADOWED };

/* Gives each of `ids` (not 0; count, at most `size`) a cell: its own if it has one, else one that none of
 * `ids` has, emptied. */
void measure_assign(measure_cell_t *cells, unsigned size, const uint64_t *ids, unsigned count);
/* The cell of an id; `size`: it has none. */
unsigned measure_find(const measure_cell_t *cells, unsigned size, uint64_t id);

/* ---- all of them ---- */

/* Why a preview refused a request for its credentials. */
#define MEASURE_ACCESS(X)                                                                                    \
    X(missing) /* none were shown */                                                                         \
    X(wrong)                                                                                                 \
    X(locked)     /* too many wrong ones came from that address */                                           \
    X(cross_site) /* a session alone, and another site asks */                                               \
    X(withdrawn)  /* they were right before the wait for the box */

enum {
#define X(name) MEASURE_ACCESS_##name,
    MEASURE_ACCESS(X)
#undef X
        MEASURE_ACCESS_COUNT
};

typedef struct measures {
    histogram_t duration[MEASURE_KINDS][MEASURE_PROTOCOLS];
    histogram_t first_byte[MEASURE_KINDS][MEASURE_PROTOCOLS];
    histogram_t connect[MEASURE_KINDS][MEASURE_PROTOCOLS]; /* by the origin's protocol */
    histogram_t handshake[MEASURE_PROTOCOLS];
    histogram_t wake[MEASURE_PROTOCOLS];
    _Atomic uint64_t statuses[MEASURE_KINDS][MEASURE_PROTOCOLS][MEASURE_STATUS_COUNT];
    _Atomic uint64_t codes[ERROR_CODE_COUNT];
    _Atomic uint64_t access[MEASURE_ACCESS_COUNT];
    _Atomic uint64_t lockouts; /* begun */
    measure_cell_t listeners[MEASURE_LISTENERS];
    measure_cell_t plans[MEASURE_PLANS];
} measures_t;

#endif
