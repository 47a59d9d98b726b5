#include "field.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "arena.h"
#include "decimal.h"
#include "forged.h"
#include "text.h"

/* Room for the fields of nearly every request, so that the array is allocated once. */
#define FIELDS_FIRST_CAPACITY 24
#define FIELDS_CAPACITY_MAX   0x7fffffffu
#define FORMAT_MAX            (1 << 20)

_Static_assert(FIELD_ID_COUNT <= 64, "kept_mask has a bit for each identity");
#define X(id, bytes, times) | UINT64_C(1) << FIELD_##id
static const uint64_t kept_mask = 0 FIELDS_KEPT(X);
#undef X

static const str_t names[FIELD_ID_COUNT] = {[FIELD_OTHER] = {NULL, 0},
#define X(id, name) [FIELD_##id] = {name, sizeof(name) - 1},
                                            FIELD_NAMES(X)
#undef X
};

/* Every name in FIELD_NAMES must be covered by a case of field_lookup. */
#define X(id, name) _Static_assert(sizeof(name) - 1 >= 2 && sizeof(name) - 1 <= 32, "field_lookup");
FIELD_NAMES(X)
#undef X

/* Eight bytes with the letters A to Z in lower case. */
static inline uint64_t lower_8(const char *p)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t bytes;
    memcpy(&bytes, p, sizeof(bytes));
    uint64_t low = bytes & ~high;
    uint64_t from_a = low + ones * (0x80 - 'A'), after_z = low + ones * (0x7f - 'Z');
    return bytes | ((from_a ^ after_z) & ~bytes & high) >> 2;
}

/* Both have n bytes. The last byte distinguishes most names of a length. The rest is compared eight bytes at
 * a time, since every request has a dozen names. */
static inline __attribute__((always_inline)) bool is_name(const char *name, const char *known, size_t n)
{
    size_t i = 0;
    if (str_lower(name[n - 1]) != known[n - 1])
        return false;
    for (; i + 8 < n; i += 8)
        if (lower_8(name + i) != lower_8(known + i))
            return false;
    if (n >= 8)
        return lower_8(name + n - 8) == lower_8(known + n - 8);
    for (; i + 1 < n; i++)
        if (str_lower(name[i]) != known[i])
            return false;
    return true;
}

/* `n` is a constant after inlining, so only the names of that length remain of the list. */
static inline __attribute__((always_inline)) field_id_t lookup_length(const char *p, size_t n)
{
#define X(id, name)                                                                                          \
    if (sizeof(name) - 1 == n && is_name(p, name, n))                                                        \
        return FIELD_##id;
    FIELD_NAMES(X)
#undef X
    return FIELD_OTHER;
}

field_id_t field_lookup(str_t name)
{
    switch (name.n) {
#define LENGTH(n)                                                                                            \
    case n:                                                                                                  \
        return lookup_length(name.p, n);
        /* clang-format off */
        LENGTH(2) LENGTH(3) LENGTH(4) LENGTH(5) LENGTH(6) LENGTH(7) LENGTH(8) LENGTH(9)
        LENGTH(10) LENGTH(11) LENGTH(12) LENGTH(13) LENGTH(14) LENGTH(15) LENGTH(16) LENGTH(17)
        LENGTH(18) LENGTH(19) LENGTH(20) LENGTH(21) LENGTH(22) LENGTH(23) LENGTH(24) LENGTH(25)
        LENGTH(26) LENGTH(27) LENGTH(28) LENGTH(29) LENGTH(30) LENGTH(31) LENGTH(32)
    default:
        return FIELD_OTHER;
#undef LENGTH
    }
}
/* clang-format on */

str_t field_name(field_id_t id)
{
    assert(id > FIELD_OTHER && id < FIELD_ID_COUNT);
    return names[id];
}

bool field_is_single(field_id_t id)
{
    static const bool single[FIELD_ID_COUNT] = {
        [FIELD_ACCESS_CONTROL_REQUEST_METHOD] = true,
        [FIELD_AUTHORIZATION] = true,
        [FIELD_CONTENT_LENGTH] = true,
        [FIELD_EXPECT] = true,
        [FIELD_HOST] = true,
        [FIELD_ORIGIN] = true,
        [FIELD_PROXY_AUTHORIZATION] = true,
        [FIELD_SEC_FETCH_MODE] = true,
        [FIELD_SEC_WEBSOCKET_KEY] = true,
        [FIELD_SEC_WEBSOCKET_VERSION] = true,
        [FIELD_TRANSFER_ENCODING] = true,
    };
    assert(id < FIELD_ID_COUNT);
    return single[id];
}

bool field_trailer_allowed(field_id_t id, str_t name)
{
    /* Names that the edge knows steer routing, framing, credentials or the connection: none may come as a
     * trailer. */
    if (id != FIELD_OTHER || (memchr(name.p, '_', name.n) == NULL && forged_name(name, false)))
        return false;
    /* Names that no other rule of the edge uses; with a '-' at the end, families of names. */
    static const str_t forbidden[] = {
        {"access-control-", 15},
        {"age", 3},
        {"cache-control", 13},
        {"content-encoding", 16},
        {"content-range", 13},
        {"expires", 7},
        {"if-", 3},
        {"max-forwards", 12},
        {"pragma", 6},
        {"proxy-", 6},
        {"range", 5},
        {"retry-after", 11},
        {"sec-", 4},
        {"warning", 7},
        {"www-authenticate", 16},
        {"x-forwarded-", 12},
    };
    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        str_t other = forbidden[i];
        bool family = other.p[other.n - 1] == '-';
        str_t compared = family && name.n > other.n ? str_make(name.p, other.n) : name;
        if (str_ieq(compared, other))
            return false;
    }
    return true;
}

void fields_reserve(arena_t *pool, fields_t *fields, uint32_t count)
{
    assert(fields->capacity == 0);
    if (count == 0)
        return;
    fields->at = arena_alloc(pool, count * sizeof(fields->at[0]));
    fields->capacity = count & FIELDS_CAPACITY_MAX;
}

void fields_add(arena_t *pool, fields_t *fields, field_id_t id, str_t name, str_t value)
{
    if (fields->count == fields->capacity) {
        uint32_t capacity = fields->capacity != 0 ? fields->capacity * 2 : FIELDS_FIRST_CAPACITY;
        assert(capacity > fields->capacity);
        field_t *at = arena_alloc(pool, capacity * sizeof(*at));
        if (fields->count != 0)
            memcpy(at, fields->at, fields->count * sizeof(*at));
        fields->at = at;
        fields->capacity = capacity & FIELDS_CAPACITY_MAX;
    }
    fields->at[fields->count++] = (field_t){.name = name, .value = value, .id = id};
}

const field_t *fields_find(const fields_t *fields, field_id_t id)
{
    assert(id != FIELD_OTHER);
    for (uint32_t i = 0; i < fields->count; i++)
        if (fields->at[i].id == id)
            return &fields->at[i];
    assert(!fields->dropped || (kept_mask >> id & 1) != 0);
    return NULL;
}

size_t fields_count(const fields_t *fields, field_id_t id)
{
    assert(id != FIELD_OTHER && (!fields->dropped || (kept_mask >> id & 1) != 0));
    size_t count = 0;
    for (uint32_t i = 0; i < fields->count; i++)
        count += fields->at[i].id == id;
    return count;
}

str_t fields_value(const fields_t *fields, field_id_t id)
{
    const field_t *field = fields_find(fields, id);
    return field != NULL ? field->value : str_make(NULL, 0);
}

str_t fields_value_named(const fields_t *fields, str_t name)
{
    assert(!fields->dropped);
    for (uint32_t i = 0; i < fields->count; i++)
        if (str_ieq(fields->at[i].name, name))
            return fields->at[i].value;
    return str_make(NULL, 0);
}

/* The joined values of all Cookie fields. */
typedef struct crumbs {
    str_t joined;
    bool placed;
} crumbs_t;

static bool join_crumb(field_t *field, void *arg)
{
    crumbs_t *crumbs = arg;
    if (field->id != FIELD_COOKIE)
        return true;
    bool first = !crumbs->placed;
    crumbs->placed = true;
    field->value = crumbs->joined;
    return first;
}

void fields_join_cookies(arena_t *pool, fields_t *fields)
{
    size_t len = 0, count = 0;
    for (uint32_t i = 0; i < fields->count; i++) {
        if (fields->at[i].id == FIELD_COOKIE) {
            len += fields->at[i].value.n + 2;
            count++;
        }
    }
    if (count < 2)
        return;
    text_t joined = text_new(pool, len);
    for (uint32_t i = 0; i < fields->count; i++) {
        const field_t *field = &fields->at[i];
        if (field->id != FIELD_COOKIE || field->value.n == 0)
            continue;
        if (joined.n != 0)
            text_put(&joined, STR("; "));
        text_put(&joined, field->value);
    }
    crumbs_t crumbs = {.joined = text_str(&joined)};
    fields_filter(fields, join_crumb, &crumbs);
}

str_t str_dup(arena_t *pool, str_t s)
{
    if (s.n == 0)
        return str_make("", 0);
    char *copy = arena_alloc(pool, s.n);
    memcpy(copy, s.p, s.n);
    return str_make(copy, s.n);
}

str_t str_decimal(arena_t *pool, uint64_t n)
{
    char *end = (char *)arena_alloc(pool, DECIMAL_MAX) + DECIMAL_MAX;
    char *digits = decimal_before(end, n);
    return str_make(digits, (size_t)(end - digits));
}

str_t str_format(arena_t *pool, const char *format, ...)
{
    char first[512]; /* most results fit here and are formatted once */
    va_list args;
    va_start(args, format);
    int len = vsnprintf(first, sizeof(first), format, args);
    va_end(args);
    assert(len >= 0 && len <= FORMAT_MAX);
    size_t size = (size_t)len;
    if (size < sizeof(first))
        return str_dup(pool, str_make(first, size));
    char *text = arena_alloc(pool, size + 1);
    va_start(args, format);
    int again = vsnprintf(text, size + 1, format, args);
    va_end(args);
    assert(again == len);
    return str_make(text, size);
}
