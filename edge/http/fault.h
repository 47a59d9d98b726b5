/*
 * The reason for which a message was refused, for the people who can repair it. A client reads it in the page
 * or the JSON of the answer. An operator reads it in the access line and, with the offending bytes, in the
 * edge's own log. Values of fields may be secrets and are not logged, except those that docs/http.md names.
 */
#ifndef BOXEDGE_FAULT_H
#define BOXEDGE_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

/* Maximum offending bytes in a log line. */
#define FAULT_BYTES 32

struct chunked;

/* For a forbidden trailer (field_trailer_allowed). */
#define FAULT_TRAILER        "A trailer has a name that is allowed in a head only."
#define FAULT_PSEUDO_TRAILER "A trailer is a pseudo-field."

typedef enum fault_kind {
    FAULT_MALFORMED,
    FAULT_OVER_LIMIT, /* valid, but larger than `limits` allow */
    FAULT_HTTP2,      /* an HTTP/2 answer to an HTTP/1 request */
} fault_kind_t;

typedef struct fault {
    fault_kind_t kind;
    const char *reason; /* a constant sentence */
    str_t bytes;        /* its place: a name, the start of a line; a slice of the message */
    bool has_byte;      /* `byte`, one byte of it, is wrong */
    uint8_t byte;
} fault_t;

/*
 * The fault in the field lines (RFC 9112 section 5) at the start of `text`, which http1_lines_cut or
 * http1_lines_field refused. `bare_lf`: lines end with LF alone.
 */
fault_t fault_of_lines(str_t text, bool bare_lf);

/*
 * The fault in `text`, a part of a request's head that is refused with `reason`. Names the first byte that
 * `is_allowed` refuses by itself, if any. Quotes the bytes before it up to the first ':' or '='; quotes no
 * part of a text with '@' that is not a path.
 */
fault_t fault_of_text(const char *reason, str_t text, bool (*is_allowed)(str_t text));

/*
 * The fault in a request line, or its start, that is refused with `reason`. Quotes it up to the first ':' or
 * '=' of its target, or only its first bytes if it has no space.
 */
fault_t fault_of_request_line(const char *reason, str_t line);

/* The fault in a field of HTTP/2 (RFC 9113 section 8.2.1); `reason` is NULL if the field is valid.
 * Pseudo-fields get no further checks of their values than other fields. */
fault_t fault_of_http2_field(str_t name, str_t value);

/* The fault in a chunked body, after CHUNKED_BAD. */
fault_t fault_of_chunked(const struct chunked *chunked);

/* `bytes` in quotes, with all but printable ASCII as \xNN, and "..." after a cut; `out` has FAULT_TEXT
 * bytes. */
#define FAULT_TEXT (FAULT_BYTES * 4 + 8)
void fault_quote(str_t bytes, char out[FAULT_TEXT]);

#endif
