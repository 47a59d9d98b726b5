/*
 * The edge's own codes: why it answered by itself, or ended an exchange. The one list of them: docs/http.md
 * ("Errors") has the answers, and docs/operations.md names the rest at the field `reason` of access lines.
 * /metrics counts by it. A code that is not here counts as "other", which no test tolerates (tests/lib/codes,
 * exchange_measure.c).
 */
#ifndef BOXEDGE_ERROR_CODE_H
#define BOXEDGE_ERROR_CODE_H

#include "str.h"

typedef enum error_code_kind {
    ERROR_CODE_ANSWER, /* of an error that a client reads */
    ERROR_CODE_END,    /* of an exchange that ended without one */
    ERROR_CODE_NOTE,   /* no error */
} error_code_kind_t;

/* In the order of strcmp. */
#define ERROR_CODES(X)                                                                                       \
    X(alias_taken, ERROR_CODE_ANSWER)                                                                        \
    X(api_busy, ERROR_CODE_ANSWER)                                                                           \
    X(api_unavailable, ERROR_CODE_ANSWER)                                                                    \
    X(bad_access, ERROR_CODE_ANSWER)                                                                         \
    X(bad_alias, ERROR_CODE_ANSWER)                                                                          \
    X(bad_body, ERROR_CODE_ANSWER)                                                                           \
    X(bad_box, ERROR_CODE_ANSWER)                                                                            \
    X(bad_chunk, ERROR_CODE_ANSWER)                                                                          \
    X(bad_port, ERROR_CODE_ANSWER)                                                                           \
    X(bad_query, ERROR_CODE_ANSWER)                                                                          \
    X(bad_request, ERROR_CODE_ANSWER)                                                                        \
    X(bad_response, ERROR_CODE_ANSWER)                                                                       \
    X(blocked, ERROR_CODE_ANSWER)                                                                            \
    X(body_too_large, ERROR_CODE_ANSWER)                                                                     \
    X(box_asleep, ERROR_CODE_ANSWER)                                                                         \
    X(box_being_deleted, ERROR_CODE_ANSWER)                                                                  \
    X(box_busy, ERROR_CODE_ANSWER)                                                                           \
    X(box_ephemeral, ERROR_CODE_ANSWER)                                                                      \
    X(box_gone, ERROR_CODE_ANSWER)                                                                           \
    X(box_in_doubt, ERROR_CODE_ANSWER)                                                                       \
    X(box_paused, ERROR_CODE_ANSWER)                                                                         \
    X(box_unreachable, ERROR_CODE_ANSWER)                                                                    \
    X(client_busy, ERROR_CODE_ANSWER)                                                                        \
    X(connect_timeout, ERROR_CODE_ANSWER)                                                                    \
    X(connection_error, ERROR_CODE_END)                                                                      \
    X(controller_unavailable, ERROR_CODE_ANSWER)                                                             \
    X(cross_site, ERROR_CODE_ANSWER)                                                                         \
    X(deletions_full, ERROR_CODE_ANSWER)                                                                     \
    X(drained, ERROR_CODE_END)                                                                               \
    X(expectation_failed, ERROR_CODE_ANSWER)                                                                 \
    X(expired, ERROR_CODE_END)                                                                               \
    X(head_too_large, ERROR_CODE_ANSWER)                                                                     \
    X(host_refused, ERROR_CODE_ANSWER)                                                                       \
    X(id_is_alias, ERROR_CODE_ANSWER)                                                                        \
    X(key_malformed, ERROR_CODE_ANSWER)                                                                      \
    X(key_refused, ERROR_CODE_ANSWER)                                                                        \
    X(key_required, ERROR_CODE_ANSWER)                                                                       \
    X(key_revoked, ERROR_CODE_ANSWER)                                                                        \
    X(killed, ERROR_CODE_ANSWER)                                                                             \
    X(label_too_long, ERROR_CODE_ANSWER)                                                                     \
    X(link_busy, ERROR_CODE_ANSWER)                                                                          \
    X(link_not_found, ERROR_CODE_ANSWER)                                                                     \
    X(link_reads_only, ERROR_CODE_ANSWER)                                                                    \
    X(locked, ERROR_CODE_ANSWER)                                                                             \
    X(loop, ERROR_CODE_ANSWER)                                                                               \
    X(method_not_allowed, ERROR_CODE_ANSWER)                                                                 \
    X(misspelled_path, ERROR_CODE_ANSWER)                                                                    \
    X(no_descriptors, ERROR_CODE_ANSWER)                                                                     \
    X(not_found, ERROR_CODE_ANSWER)                                                                          \
    X(not_implemented, ERROR_CODE_ANSWER)                                                                    \
    X(origin_closed, ERROR_CODE_ANSWER)                                                                      \
    X(origin_not_http2, ERROR_CODE_ANSWER)                                                                   \
    X(origin_refused, ERROR_CODE_ANSWER)                                                                     \
    X(origin_timeout, ERROR_CODE_ANSWER)                                                                     \
    X(origin_tls_failed, ERROR_CODE_ANSWER)                                                                  \
    X(overloaded, ERROR_CODE_ANSWER)                                                                         \
    X(port_not_exposed, ERROR_CODE_ANSWER)                                                                   \
    X(port_not_in_box, ERROR_CODE_ANSWER)                                                                    \
    X(port_not_listening, ERROR_CODE_ANSWER)                                                                 \
    X(port_on_loopback, ERROR_CODE_ANSWER)                                                                   \
    X(preflight, ERROR_CODE_NOTE)                                                                            \
    X(preflight_asleep, ERROR_CODE_NOTE)                                                                     \
    X(preview_damaged, ERROR_CODE_ANSWER)                                                                    \
    X(preview_is_public, ERROR_CODE_ANSWER)                                                                  \
    X(preview_not_found, ERROR_CODE_ANSWER)                                                                  \
    X(provider_unavailable, ERROR_CODE_ANSWER)                                                               \
    X(rate_limited, ERROR_CODE_ANSWER)                                                                       \
    X(request_timeout, ERROR_CODE_ANSWER)                                                                    \
    X(server_is_edge, ERROR_CODE_ANSWER)                                                                     \
    X(server_unreachable, ERROR_CODE_ANSWER)                                                                 \
    X(store_busy, ERROR_CODE_ANSWER)                                                                         \
    X(store_full, ERROR_CODE_ANSWER)                                                                         \
    X(store_unavailable, ERROR_CODE_ANSWER)                                                                  \
    X(tls_required, ERROR_CODE_ANSWER)                                                                       \
    X(too_many_boxes, ERROR_CODE_ANSWER)                                                                     \
    X(too_many_connections, ERROR_CODE_ANSWER)                                                               \
    X(too_many_links, ERROR_CODE_ANSWER)                                                                     \
    X(too_many_preflights, ERROR_CODE_ANSWER)                                                                \
    X(too_many_streams, ERROR_CODE_END)                                                                      \
    X(too_many_waiting, ERROR_CODE_ANSWER)                                                                   \
    X(too_many_wakes, ERROR_CODE_ANSWER)                                                                     \
    X(too_much_held, ERROR_CODE_END)                                                                         \
    X(unauthorized, ERROR_CODE_ANSWER)                                                                       \
    X(unsupported_media_type, ERROR_CODE_ANSWER)                                                             \
    X(upstream_refused, ERROR_CODE_NOTE)                                                                     \
    X(uri_too_long, ERROR_CODE_ANSWER)                                                                       \
    X(version_not_supported, ERROR_CODE_ANSWER)                                                              \
    X(wake_events, ERROR_CODE_NOTE)                                                                          \
    X(wake_failed, ERROR_CODE_ANSWER)                                                                        \
    X(wake_rate, ERROR_CODE_ANSWER)                                                                          \
    X(wake_timeout, ERROR_CODE_ANSWER)                                                                       \
    X(waking, ERROR_CODE_ANSWER)                                                                             \
    X(websocket_unsupported, ERROR_CODE_ANSWER)                                                              \
    X(withdrawn, ERROR_CODE_END)                                                                             \
    X(worker_died, ERROR_CODE_END)                                                                           \
    X(wrong_host, ERROR_CODE_ANSWER)

enum {
#define X(name, kind) ERROR_CODE_##name,
    ERROR_CODES(X)
#undef X
        ERROR_CODE_OTHER, /* no code of the list */
    ERROR_CODE_COUNT,
};

/* The number of a code in the list, or ERROR_CODE_OTHER. */
unsigned error_code_find(const char *code);
/* Number `i`, below ERROR_CODE_COUNT: its text ("other" for ERROR_CODE_OTHER) and its kind. */
const char *error_code_text(unsigned i);
error_code_kind_t error_code_kind(unsigned i);

#endif
