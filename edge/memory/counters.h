/*
 * Counters of one worker, in its slot of the shared segment. Only their owner writes them; the controller
 * reads them for /metrics. A gauge is a counter that also decreases.
 */
#ifndef BOXEDGE_COUNTERS_H
#define BOXEDGE_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

#include "measures.h"

/* name, Prometheus type, one line of help. New ones go at the end: after an upgrade, old workers write the
 * counters that they know into the same segment (SHM_LAYOUT). */
#define COUNTERS(X)                                                                                          \
    X(connections_total, "counter", "Client connections accepted")                                           \
    X(connections_open, "gauge", "Client connections open now")                                              \
    X(connections_refused_total, "counter", "Client connections closed at accept, by a limit")               \
    X(proxy_protocol_failures_total, "counter",                                                              \
      "Client connections closed because of a missing or wrong PROXY protocol header")                       \
    X(tls_handshakes_total, "counter", "TLS handshakes completed")                                           \
    X(tls_resumptions_total, "counter", "TLS handshakes that resumed a session")                             \
    X(tls_failures_total, "counter", "TLS handshakes that failed or timed out")                              \
    X(exchanges_total, "counter", "Exchanges ended")                                                         \
    X(exchanges_open, "gauge", "Exchanges in progress")                                                      \
    X(responses_local_total, "counter", "Responses made by the edge itself")                                 \
    X(client_departures_total, "counter", "Exchanges whose client left before the end")                      \
    X(request_body_bytes_total, "counter", "Request body bytes taken from clients")                          \
    X(discarded_bytes_total, "counter", "Request body bytes discarded after the response")                   \
    X(response_body_bytes_total, "counter", "Response body bytes passed to clients")                         \
    X(tunnels_open, "gauge", "WebSocket tunnels open now")                                                   \
    X(origin_connects_total, "counter", "Connections opened to origins")                                     \
    X(origin_connect_failures_total, "counter", "Connections to origins that failed")                        \
    X(origin_reuses_total, "counter", "Exchanges sent on a pooled origin connection")                        \
    X(origin_resends_total, "counter", "Exchanges sent again on a fresh connection")                         \
    X(wake_waits_total, "counter", "Requests that waited for a box to wake")                                 \
    X(wake_timeouts_total, "counter", "Requests whose box did not wake in time")                             \
    X(wake_waiters, "gauge", "Requests that wait for boxes now")                                             \
    X(limited_total, "counter", "API requests refused by a limit")                                           \
    X(limited_shadow_total, "counter", "API requests that a limit would have refused, were it enforced")     \
    X(api_retries_total, "counter", "API requests sent to another server after one failed")                  \
    X(api_queued_total, "counter", "API requests that waited for a free slot at a server")                   \
    X(api_queue_refused_total, "counter", "API requests refused because no slot became free")                \
    X(shed_total, "counter", "Requests refused because a bound on memory or connections was reached")        \
    X(connections_given_up_total, "counter", "Idle client connections closed to make room for others")       \
    X(origin_queue_waits_total, "counter", "Requests that waited for a connection to an origin")             \
    X(origin_queue_refused_total, "counter",                                                                 \
      "Requests refused because no connection to an origin became free")                                     \
    X(descriptor_shortages_total, "counter", "Connections refused for lack of a descriptor")                 \
    X(memory_resets_total, "counter", "Exchanges ended because memory was short and they made no progress")  \
    X(memory_closes_total, "counter",                                                                        \
      "Client connections ended because memory was short and they made no progress")                         \
    X(farewell_resets_total, "counter",                                                                      \
      "Connections reset after their end because the peer did not take the last bytes")                      \
    X(http2_abuse_total, "counter", "HTTP/2 connections ended with ENHANCE_YOUR_CALM")                       \
    X(http2_streams_refused_total, "counter", "HTTP/2 requests above limits.streams, refused unread")        \
    X(log_lines_total, "counter", "Access lines written")                                                    \
    X(log_drops_total, "counter", "Access lines dropped because the log could not keep up")                  \
    X(buffered_bytes, "gauge", "Bytes that requests and client connections hold now, of limits.memory")      \
    X(kernel_bytes, "gauge", "Kernel memory in bytes for stalled connections")                               \
    X(heap_allocated_bytes, "gauge", "Heap bytes in use, as the allocator counts them")

/* Codes of RFC 9113 section 7. */
#define COUNTERS_HTTP2_CODES 14

typedef struct counters {
    measures_t measures;
    /* Connections of clients that ended with that code. */
    _Atomic uint64_t http2_errors[COUNTERS_HTTP2_CODES];
#define X(name, type, help) _Atomic uint64_t name;
    COUNTERS(X)
#undef X
} counters_t;

/* The owner is the only writer, so a plain load and store suffice; no locked instruction. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void counter_sub(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) - n,
                          memory_order_relaxed);
}

static inline void counter_set(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

#endif
