/*
 * The chunked transfer coding (RFC 9112 section 7.1), decoded as bytes come, without a copy of the data. As
 * strict as for heads: CR LF only, at most 16 hex digits, bounded extensions, trailers by the rules of
 * fields.
 */
#ifndef BOXEDGE_CHUNKED_H
#define BOXEDGE_CHUNKED_H

#include "field.h"

#include "arena.h"

#define CHUNKED_SIZE_DIGITS     16
#define CHUNKED_EXTENSION_BYTES 256   /* of one chunk */
#define CHUNKED_EXTENSIONS_MAX  16384 /* of one message */
#define CHUNKED_TRAILER_BYTES   8192  /* the trailer section, with the empty line */

typedef enum chunked_result {
    CHUNKED_DATA, /* *data is a piece of the body, one byte or more */
    CHUNKED_MORE, /* all input was taken; more must come */
    CHUNKED_END, /* the message is complete: chunked->trailers has the trailers; the rest of the input belongs
                    to the next message */
    CHUNKED_BAD, /* the body is malformed; the connection is unusable */
} chunked_result_t;

/* Private to chunked.c, except `trailers`, `failed_at` and `refused_trailer`. */
typedef struct chunked {
    uint8_t state;
    uint8_t failed;    /* with CHUNKED_BAD: the state before */
    uint8_t failed_at; /* with CHUNKED_BAD: the refused byte */
    uint8_t digits;
    uint16_t extension; /* bytes of this chunk's extensions */
    uint16_t extensions_left;
    uint16_t trailer_len;
    uint32_t max_fields;
    uint64_t left; /* data bytes of this chunk still to come */
    char *trailer; /* CHUNKED_TRAILER_BYTES in `pool`, from the first trailer byte on */
    arena_t *pool;
    fields_t trailers;     /* slices of `pool` */
    str_t refused_trailer; /* with CHUNKED_BAD: the refused name of a trailer; empty: another reason */
} chunked_t;

/* `pool` must outlive `chunked`, and is used only if trailers come, of which `max_fields` are allowed. */
void chunked_init(chunked_t *chunked, arena_t *pool, uint32_t max_fields);
/* Consumes bytes from the front of `*input`. Call it until it returns anything but CHUNKED_DATA. */
MUST_USE chunked_result_t chunked_decode(chunked_t *chunked, str_t *input, str_t *data);
/* After CHUNKED_BAD: the reason, a constant sentence. */
const char *chunked_fault(const chunked_t *chunked);
/* After CHUNKED_BAD: whether the trailer section is at fault; *section is the part of it that was taken. */
bool chunked_trailers_failed(const chunked_t *chunked, str_t *section);

#endif
