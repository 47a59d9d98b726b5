/* A chunked body decoded in pieces, for its tests and its fuzzer. */
#ifndef BOXEDGE_TEST_CHUNKED_PIECES_H
#define BOXEDGE_TEST_CHUNKED_PIECES_H

#include "arena.h"
#include "chunked.h"
#include "heads.h"

typedef struct decoded {
    chunked_result_t result;
    text_t body;
    size_t left; /* bytes of the input behind the message */
    arena_t pool;
    fields_t trailers;
} decoded_t;

/* Feeds `step` bytes at a time, each piece in separate memory. At most `max_fields` trailers. Asserts that an
 * end and an error are final. */
void decoded_init(decoded_t *out, str_t input, size_t step, uint32_t max_fields);
void decoded_fini(decoded_t *decoded);
/* Whether both have the same result, body and trailers. */
bool decoded_same(const decoded_t *a, const decoded_t *b);

#endif
