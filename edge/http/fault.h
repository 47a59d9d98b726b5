/*
 * Why a message was refused: found by the parsers, said to those who can repair it. A client reads the reason
 * in the page or the JSON of the answer, an operator in the access line and, with the offending bytes, in the
 * edge's own log. Values of fields may be secrets and are not said, except those that docs/http.md names.
 */
#ifndef BOXEDGE_FAULT_H
#define BOXEDGE_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

/* Offending bytes that are said, at most. */
#define FAULT_BYTES 32

struct chunked;

/* Of a trailer that must not be one (field_trailer_allowed). */
#define FAULT_TRAILER        "A trailer has a name that may come in a head only."
#define FAULT_PSEUDO_TRAILER "A trailer is a pseudo-field."

typedef enum fault_kind {
    FAULT_MALFORMED,
    FAULT_OVER_LIMIT, /* valid, and larger than `limits` allow */
    FAULT_HTTP2,      /* an answer in HTTP/2, where HTTP/1 was spoken */
} fault_kind_t;

typedef struct fault {
    fault_kind_t kind;
    const char *reason; /* a constant sentence */
    str_t bytes;        /* what it was found in: a name, the beginning of a line; a slice of the message */
    bool has_byte;      /* one byte of it is wrong: `byte` */
    uint8_t byte;
} fault_t;

/*
 * What is wrong with the field lines (RFC 9112 section 5) at the start of `text`, which http1_lines_cut or
 * http1_lines_field refused. `bare_lf`: lines end with LF alone.
 */
fault_t fault_of_lines(str_t text, bool bare_lf);

/*
 * `text`, of a request's head, is refused with `reason`. The fault names the first byte that `is_allowed`
 * refuses by itself, if any, and quotes the bytes before it up to the first ':' or '='; none of a text with
 * '@' that is no path.
 */
fault_t fault_of_text(const char *reason, str_t text, bool (*is_allowed)(str_t text));

/*
 * The request line, or its beginning, is refused with `reason`: the fault quotes it up to the first ':' or
 * '=' of its target, or no more than its first bytes where it has no space.
 */
fault_t fault_of_request_line(const char *reason, str_t line);

/* What is wrong with a field of HTTP/2 (RFC 9113 section 8.2.1); `reason` is NULL where nothing is. The value
 * of a pseudo-field is not judged further than that of others. */
fault_t fault_of_http2_field(str_t name, str_t value);

/* What is wrong with a chunked body, after CHUNKED_BAD. */
fault_t fault_of_chunked(const struct chunked *chunked);

/* `bytes` in quotes with everything but printable ASCII as \xNN, and where it was cut "…"; `out` has
 * FAULT_TEXT bytes. */
#define FAULT_TEXT (FAULT_BYTES * 4 + 8)
void fault_quote(str_t bytes, char out[FAULT_TEXT]);

#endif
