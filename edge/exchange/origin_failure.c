#include "origin_failure.h"

#include <assert.h>
#include <stddef.h>

#define SERVER_UNREACHABLE "A server of this API cannot be reached."
#define NO_DESCRIPTOR      "The edge cannot open another connection right now; try again shortly."

static const struct {
    origin_failure_text_t box, server;
} texts[ORIGIN_FAILURES] = {
    [ORIGIN_UNREACHABLE] = {{502, "box_unreachable", "The box cannot be reached."},
                            {502, "server_unreachable", SERVER_UNREACHABLE}},
    [ORIGIN_NOT_LISTENING] = {{502, "port_not_listening", "Nothing listens on this port of the box."},
                              {502, "server_unreachable", SERVER_UNREACHABLE}},
    [ORIGIN_ON_LOOPBACK] = {{502, "port_on_loopback",
                             "An app listens on this port, but only on the box's loopback address: have it "
                             "listen on 0.0.0.0."},
                            {502, "server_unreachable", SERVER_UNREACHABLE}},
    [ORIGIN_CONNECT_TIMEOUT] = {{504, "connect_timeout", "The box did not accept a connection in time."},
                                {504, "connect_timeout",
                                 "A server of this API did not accept a connection in time."}},
    [ORIGIN_TLS_FAILED] = {{502, "origin_tls_failed", "The box cannot be reached over TLS."},
                           {502, "origin_tls_failed", "A server of this API cannot be reached over TLS."}},
    [ORIGIN_IS_EDGE] = {{502, "port_not_in_box", "This port belongs to the edge itself, not to the box."},
                        {502, "server_is_edge", "A server of this API is the edge itself."}},
    [ORIGIN_CLOSED] = {{502, "origin_closed", "The app in the box closed the connection without an answer."},
                       {502, "origin_closed",
                        "A server of this API closed the connection without an answer. The request may have "
                        "been carried out."}},
    [ORIGIN_CUT] = {{502, "origin_closed",
                     "The app in the box closed the connection in the middle of its answer."},
                    {502, "origin_closed",
                     "A server of this API closed the connection in the middle of its answer."}},
    [ORIGIN_BAD_RESPONSE] = {{502, "bad_response",
                              "The app in the box sent an answer that is not valid HTTP."},
                             {502, "bad_response",
                              "A server of this API sent an answer that is not valid HTTP."}},
    [ORIGIN_OVER_LIMIT] = {{502, "bad_response",
                            "The head of the app's answer is larger than this edge allows."},
                           {502, "bad_response",
                            "The head of an answer of this API is larger than this edge allows."}},
    [ORIGIN_IS_HTTP2] =
        {{502, "bad_response",
          "The app in the box speaks HTTP/2 on this port, but its preview is set to HTTP/1: create the "
          "preview with --protocol h2c."},
         {502, "bad_response",
          "A server of this API speaks HTTP/2, but its upstream is set to HTTP/1: set protocol: h2."}},
    [ORIGIN_NOT_HTTP2] =
        {{502, "origin_not_http2",
          "The app in the box does not speak HTTP/2 on this port, but its preview is set to HTTP/2."},
         {502, "origin_not_http2", "A server of this API does not speak HTTP/2."}},
    [ORIGIN_REFUSED] = {{502, "origin_refused",
                         "The app in the box refused the request unprocessed; send it again."},
                        {502, "origin_refused",
                         "A server of this API refused the request unprocessed; send it again."}},
    [ORIGIN_NO_WEBSOCKET] =
        {{502, "websocket_unsupported",
          "The edge speaks HTTP/2 to this preview's app, and carries no WebSockets over it."},
         {502, "websocket_unsupported",
          "The edge speaks HTTP/2 to this API, and carries no WebSockets over it."}},
    [ORIGIN_TIMEOUT] = {{504, "origin_timeout", "The app in the box did not answer in time."},
                        {504, "origin_timeout", "A server of this API did not answer in time."}},
    [ORIGIN_NO_DESCRIPTOR] = {{503, "no_descriptors", NO_DESCRIPTOR}, {503, "no_descriptors", NO_DESCRIPTOR}},
    [ORIGIN_STALLED] = {{504, "origin_timeout", "The app in the box stopped reading the request."},
                        {504, "origin_timeout", "A server of this API stopped reading the request."}},
};

origin_failure_t origin_failure_of(fault_kind_t kind)
{
    switch (kind) {
    case FAULT_OVER_LIMIT:
        return ORIGIN_OVER_LIMIT;
    case FAULT_HTTP2:
        return ORIGIN_IS_HTTP2;
    case FAULT_MALFORMED:
        break;
    }
    return ORIGIN_BAD_RESPONSE;
}

const origin_failure_text_t *origin_failure_text(origin_failure_t failure, bool is_box)
{
    assert(failure < ORIGIN_FAILURES && texts[failure].box.code != NULL);
    return is_box ? &texts[failure].box : &texts[failure].server;
}
