#include "chunked_pieces.h"

static void assert_final(chunked_t *chunked, chunked_result_t result)
{
    str_t more = STR("5\r\n"), data;
    assert(chunked_decode(chunked, &more, &data) == result);
    assert(more.n == 3);
}

void decoded_init(decoded_t *out, str_t input, size_t step, uint32_t max_fields)
{
    chunked_t chunked;
    *out = (decoded_t){.result = CHUNKED_MORE};
    arena_init(&out->pool);
    chunked_init(&chunked, &out->pool, max_fields);
    while (input.n != 0 && out->result == CHUNKED_MORE) {
        size_t n = input.n < step ? input.n : step;
        char *bytes = NULL;
        str_t piece = heads_copy(&bytes, str_make(input.p, n)), data;
        while ((out->result = chunked_decode(&chunked, &piece, &data)) == CHUNKED_DATA) {
            assert(data.n != 0 && data.p >= bytes && data.p + data.n <= bytes + n);
            text_add(&out->body, data);
        }
        assert(out->result != CHUNKED_MORE || piece.n == 0);
        input = str_from_offset(input, n - piece.n);
        free(bytes);
    }
    out->left = input.n;
    out->trailers = chunked.trailers;
    if (out->result != CHUNKED_MORE)
        assert_final(&chunked, out->result);
}

void decoded_fini(decoded_t *decoded)
{
    free(decoded->body.p);
    arena_clear(&decoded->pool);
}

bool decoded_same(const decoded_t *a, const decoded_t *b)
{
    return a->result == b->result && str_eq(str_make(a->body.p, a->body.n), str_make(b->body.p, b->body.n)) &&
           fields_equal(&a->trailers, &b->trailers);
}
