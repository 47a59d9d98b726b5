/*
 * The chunked coding. The first byte says in what pieces the rest comes; pieces and whole must give the same
 * bytes, trailers and end. A message that is complete, written again in one chunk, gives the same.
 */
#include "arena.h"
#include "chunked.h"
#include "heads.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

#define MAX_FIELDS 20

typedef struct decoded {
    chunked_result_t result;
    text_t body;
    size_t left; /* input that was not taken */
    arena_t pool;
    fields_t trailers;
} decoded_t;

static void decode(decoded_t *out, str_t input, size_t step)
{
    *out = (decoded_t){.result = CHUNKED_MORE};
    arena_init(&out->pool);
    chunked_t chunked;
    chunked_init(&chunked, &out->pool, MAX_FIELDS);
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
}

static void decoded_fini(decoded_t *d)
{
    free(d->body.p);
    arena_clear(&d->pool);
}

static void check_same(const decoded_t *a, const decoded_t *b)
{
    assert(a->result == b->result);
    assert(str_eq(str_make(a->body.p, a->body.n), str_make(b->body.p, b->body.n)));
    assert(fields_equal(&a->trailers, &b->trailers));
}

static void check_again(const decoded_t *d)
{
    text_t text = {NULL, 0, 0};
    char line[32];
    int n = snprintf(line, sizeof(line), "%zx\r\n", d->body.n);
    if (d->body.n != 0) {
        text_add(&text, str_make(line, (size_t)n));
        text_add(&text, str_make(d->body.p, d->body.n));
        text_add(&text, STR("\r\n"));
    }
    text_add(&text, STR("0\r\n"));
    text_add_fields(&text, &d->trailers);
    text_add(&text, STR("\r\n"));
    /* Written again, ": " may be longer than the ":" that came, past the bound. */
    if (text.n < CHUNKED_TRAILER_BYTES) {
        decoded_t again;
        decode(&again, str_make(text.p, text.n), text.n);
        check_same(d, &again);
        assert(again.left == 0);
        decoded_fini(&again);
    }
    free(text.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < 2)
        return 0;
    str_t data = str_make((const char *)input + 1, size - 1);
    decoded_t whole, pieces;
    decode(&whole, data, data.n);
    decode(&pieces, data, (size_t)input[0] + 1);
    check_same(&whole, &pieces);
    if (whole.result == CHUNKED_END) {
        assert(whole.left == pieces.left);
        check_again(&whole);
    }
    decoded_fini(&whole);
    decoded_fini(&pieces);
    return 0;
}
