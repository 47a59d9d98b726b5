/*
 * The trace of one request from a worker to the controller: the bytes of PROCESS_TRACE. It may be lost.
 */
#ifndef BOXEDGE_TRACE_MESSAGE_H
#define BOXEDGE_TRACE_MESSAGE_H

#include <netinet/in.h>

#include "box_id.h"
#include "ipc.h"
#include "measures.h"
#include "str.h"

#define TRACE_METHOD_MAX 32
#define TRACE_HOST_MAX   255
#define TRACE_PATH_MAX   511
#define TRACE_CODE_MAX   47
#define TRACE_ORIGIN_MAX 63

/* The spans below that of the request, in the order in which they begin. */
typedef enum trace_phase {
    TRACE_ACCEPT,     /* the request's head comes */
    TRACE_ACCESS,     /* who may see the preview, or use the API */
    TRACE_WAKE,       /* waits for the box */
    TRACE_QUEUE,      /* waits for a connection to the box, or for a server */
    TRACE_CONNECT,    /* a fresh connection to the box or server */
    TRACE_FIRST_BYTE, /* from the request's head until that of the response */
    TRACE_RESPONSE,   /* the response goes to the client; of a WebSocket, all of its bytes */
    TRACE_PHASES
} trace_phase_t;

/* Microseconds since the span of the request began. */
typedef struct trace_span {
    uint64_t from_us, to_us;
    bool there;
    bool failed;
} trace_span_t;

/* Texts end with a NUL and are cut to their space. "": does not apply. */
typedef struct trace_message {
    uint64_t wall_us; /* when it began */
    uint64_t took_us;
    uint64_t over;   /* requests that were not traced since the last message: above tracing.per_second */
    uint64_t lost;   /* messages that could not be sent since then */
    char id[32 + 1]; /* lower-case hex digits */
    char span[16 + 1];
    char parent[16 + 1];
    struct in6_addr client;
    uint16_t client_port;
    uint16_t local_port;
    uint16_t port;   /* of the preview */
    uint16_t status; /* 0: none */
    uint8_t kind;    /* measure_kind_t */
    bool https;
    bool cut;  /* the response is not whole */
    bool gone; /* the client left */
    trace_span_t phases[TRACE_PHASES];
    char version[4];
    char request_id[36 + 1];
    char box[BOX_ID_MAX + 1];
    char method[TRACE_METHOD_MAX + 1];
    char code[TRACE_CODE_MAX + 1]; /* of an answer of the edge itself */
    char origin[TRACE_ORIGIN_MAX + 1];
    char host[TRACE_HOST_MAX + 1];
    char path[TRACE_PATH_MAX + 1]; /* with the query, as in the access log */
} trace_message_t;

_Static_assert(sizeof(trace_message_t) <= IPC_BYTES_MAX, "it is one message");

/* Copies `text` into a field of `size` bytes. */
void trace_message_put(char *field, size_t size, str_t text);
/* Returns false if the bytes are not a valid trace: a span outside of that of the request, a text without an
 * end. */
MUST_USE bool trace_message_read(str_t bytes, trace_message_t *out);
/* "first_byte". */
const char *trace_phase_text(trace_phase_t phase);

#endif
