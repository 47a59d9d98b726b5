/*
 * Traces as the body of a call of OTLP over HTTP, in JSON (OTLP specification 1.x, "JSON Protobuf Encoding"):
 * ids are hex digits, 64-bit integers are strings. Attributes follow OpenTelemetry's conventions for HTTP
 * servers. No text has a secret: paths are those of the access log.
 */
#ifndef BOXEDGE_OTLP_H
#define BOXEDGE_OTLP_H

#include "random_id.h"
#include "trace_message.h"

/* Maximum bytes of a trace, and of what surrounds all of them. */
#define OTLP_TRACE_BYTES 8192
#define OTLP_FRAME_BYTES 1024

/* Writes `count` traces as one body of at most OTLP_FRAME_BYTES + count * OTLP_TRACE_BYTES. `node` names this
 * edge; `random` makes the ids of the spans below those of the requests. Returns the length. */
size_t otlp_write(char *out, const char *node, const trace_message_t *const *traces, size_t count,
                  random_source_t *random);
/* The spans that the receiver's answer says it rejected: 0 if it says nothing. */
uint64_t otlp_rejected(str_t answer);

#endif
