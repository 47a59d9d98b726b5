/*
 * The chunked transfer coding (RFC 9112 section 7.1), decoded as bytes come, without a copy of the data. As
 * strict as heads are: CR LF only, at most 16 hex digits, bounded extensions, trailers by the rules of
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
    CHUNKED_MORE, /* all input was taken, more must come */
    CHUNKED_END,  /* the message is complete: trailers are in chunked->trailers; what is left of the input
                     belongs to the next */
    CHUNKED_BAD,  /* and so is the connection */
} chunked_result_t;

/* Its fields are for chunked.c only, but for `trailers`, `failed_at` and `refused_trailer`. */
typedef struct chunked {
    uint8_t state;
    uint8_t failed;    /* with CHUNKED_BAD: the state before */
    uint8_t failed_at; /* and the byte that was refused */
    uint8_t digits;
    uint16_t extension; /* bytes of this chunk's extensions */
    uint16_t extensions_left;
    uint16_t trailer_len;
    uint32_t max_fields;
    uint64_t left; /* data bytes of this chunk still to come */
    char *trailer; /* CHUNKED_TRAILER_BYTES in `pool`, from the first trailer byte on */
    arena_t *pool;
    fields_t trailers;     /* slices of `pool` */
    str_t refused_trailer; /* with CHUNKED_BAD: the name that no trailer may have; empty: another reason */
} chunked_t;

/* `pool` must outlive it and is used only where trailers come; there are at most `max_fields` of them. */
void chunked_init(chunked_t *chunked, arena_t *pool, uint32_t max_fields);
/* Takes bytes off the front of `*input`. Call it until it returns something else than CHUNKED_DATA. */
MUST_USE chunked_result_t chunked_decode(chunked_t *chunked, str_t *input, str_t *data);
/* After CHUNKED_BAD: what is wrong, in a constant sentence. */
const char *chunked_fault(const chunked_t *chunked);
/* The same: true where the trailer section is to blame, of which *section is as much as was taken. */
bool chunked_trailers_failed(const chunked_t *chunked, str_t *section);

#endif
