/* Cookie and Set-Cookie values of any bytes: a removed cookie is not found again, the rest keeps its bytes,
 * and the result does not depend on the position of the output. */
#include <assert.h>

#include "cookie.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NAME STR("sid")
#define HOST STR("a-80.p.example")

static size_t count_pieces(str_t s)
{
    size_t count = 1;
    for (size_t i = 0; i < s.n; i++)
        count += s.p[i] == ';';
    return count;
}

static void check_cookie(str_t header, char *out)
{
    str_t rest = header, value;
    size_t found = 0;
    while (cookie_next(&rest, NAME, &value)) {
        assert(value.p >= header.p && value.p + value.n <= header.p + header.n);
        found++;
    }
    size_t len = cookie_remove(header, NAME, out, header.n);
    assert(len <= header.n);
    str_t left = str_make(out, len);
    if (found == 0)
        assert(str_eq(left, header));
    else
        assert(len == 0 || count_pieces(left) + found == count_pieces(header));
    rest = left;
    assert(!cookie_next(&rest, NAME, &value));
    char *over = malloc(header.n + 1);
    assert(over != NULL);
    memcpy(over, header.p, header.n);
    assert(cookie_remove(str_make(over, header.n), NAME, over, header.n) == len);
    assert(memcmp(over, out, len) == 0);
    free(over);
}

static void check_set_cookie(str_t value, char *out)
{
    size_t len, again;
    if (!set_cookie_confine(value, HOST, out, value.n, &len))
        return;
    assert(len < value.n);
    str_t left = str_make(out, len);
    /* The cookie itself is untouched. */
    const char *end = memchr(value.p, ';', value.n);
    assert(end != NULL && str_starts(left, str_make(value.p, (size_t)(end - value.p))));
    assert(!set_cookie_confine(left, HOST, out, len, &again));
    char *over = malloc(value.n);
    assert(over != NULL);
    memcpy(over, value.p, value.n);
    assert(set_cookie_confine(str_make(over, value.n), HOST, over, value.n, &again));
    assert(again == len && memcmp(over, out, len) == 0);
    free(over);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str_t input = str_make((const char *)data, size);
    char *out = malloc(size + 1);
    assert(out != NULL);
    check_cookie(input, out);
    check_set_cookie(input, out);
    free(out);
    return 0;
}
