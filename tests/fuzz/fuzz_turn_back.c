/* Fields of a response with any bytes, for apps on any port: results are bounded, a value without a local
 * name keeps its bytes, and what was turned back is turned no further. */
#include <assert.h>
#include <stdlib.h>

#include "turn_back.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has(str_t value, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i + n <= value.n; i++)
        if (str_ieq(str_make(value.p + i, n), str_from(name)))
            return true;
    return false;
}

static void check(str_t (*turn)(arena_t *, const turn_back_t *, str_t), const turn_back_t *to, str_t value)
{
    arena_t arena;
    arena_init(&arena);
    str_t turned = turn(&arena, to, value);
    assert(turned.n <= value.n + TURN_BACK_SOURCES_MAX * (to->authority.n + 8));
    if (!has(value, "localhost") && !has(value, "127.0.0.1") && !has(value, "[::1]"))
        assert(turned.p == value.p && turned.n == value.n);
    str_t again = turn(&arena, to, turned);
    if (turn != turn_back_policy) /* which has a bound, and turns the rest then */
        assert(str_eq(again, turned));
    arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    turn_back_t to = {.port = (uint16_t)(data[0] | data[1] << 8), .https = (data[2] & 1) != 0};
    to.port = to.port != 0 ? to.port : 3000;
    to.authority = (data[2] & 2) != 0 ? STR("a-3000.p.test:8443") : STR("a-3000.p.test");
    char *exact = malloc(size - 3 + 1);
    assert(exact != NULL);
    memcpy(exact, data + 3, size - 3);
    str_t value = str_make(exact, size - 3);
    check(turn_back_url, &to, value);
    check(turn_back_refresh, &to, value);
    check(turn_back_origin, &to, value);
    check(turn_back_policy, &to, value);
    free(exact);
    return 0;
}
