/* The chunked coding. The first byte selects the pieces in which the rest comes; pieces and whole must
 * give the same bytes, trailers and end. A complete message gives the same when it is written again in one
 * chunk. */
#include "chunked_pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

#define MAX_FIELDS 20

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
    /* Written again, ": " may be longer than the original ":", and exceed the bound. */
    if (text.n < CHUNKED_TRAILER_BYTES) {
        decoded_t again;
        decoded_init(&again, str_make(text.p, text.n), text.n, MAX_FIELDS);
        assert(decoded_same(d, &again));
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
    decoded_init(&whole, data, data.n, MAX_FIELDS);
    decoded_init(&pieces, data, (size_t)input[0] + 1, MAX_FIELDS);
    assert(decoded_same(&whole, &pieces));
    if (whole.result == CHUNKED_END) {
        assert(whole.left == pieces.left);
        check_again(&whole);
    }
    decoded_fini(&whole);
    decoded_fini(&pieces);
    return 0;
}
