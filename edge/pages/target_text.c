#include "target_text.h"

#include "field.h"
#include "link_make.h"
#include "pages.h"
#include "text.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = str_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The end of a parameter's name, percent-decoded, in lower case and with '_' for '-'. */
#define NAME_TAIL 16
typedef struct name_tail {
    char at[NAME_TAIL]; /* the last bytes; the very last is at [(n - 1) mod NAME_TAIL] */
    size_t n;           /* length of the whole name */
} name_tail_t;

static name_tail_t tail_of(str_t name)
{
    name_tail_t tail = {.n = 0};
    for (size_t i = 0; i < name.n;) {
        char c = name.p[i++];
        if (c == '%' && i + 1 < name.n && hex_digit(name.p[i]) >= 0 && hex_digit(name.p[i + 1]) >= 0) {
            c = (char)(hex_digit(name.p[i]) * 16 + hex_digit(name.p[i + 1]));
            i += 2;
        }
        tail.at[tail.n++ % NAME_TAIL] = c == '-' ? '_' : str_lower(c);
    }
    return tail;
}

static bool ends_with(const name_tail_t *tail, str_t word)
{
    if (tail->n < word.n)
        return false;
    for (size_t i = 0; i < word.n; i++)
        if (tail->at[(tail->n - word.n + i) % NAME_TAIL] != word.p[i])
            return false;
    return true;
}

/* Whether a parameter of that name carries a secret: of the edge itself, or of the app or API behind it
 * (docs/operations.md, "The access log"). */
static bool is_secret_name(str_t name)
{
    static const str_t ends[] = {{"token", 5},       {"secret", 6},    {"password", 8},
                                 {"passwd", 6},      {"api_key", 7},   {"apikey", 6},
                                 {"access_key", 10}, {"signature", 9}, {"credential", 10}};
    static const str_t whole[] = {{"auth", 4}, {"code", 4}, {"jwt", 3}, {"key", 3}, {"sig", 3}};
    name_tail_t tail = tail_of(name);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (ends_with(&tail, ends[i]))
            return true;
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
        if (tail.n == whole[i].n && ends_with(&tail, whole[i]))
            return true;
    return false;
}

static bool is_separator(char c)
{
    return c == '?' || c == '&' || c == ';';
}

/* The query from its '?' on, without the values of secrets. Servers disagree about separators of parameters,
 * so every separator that any of them knows counts here. */
static void each_parameter(str_t query, target_part_t take, void *arg)
{
    size_t i = 0;
    while (i < query.n) {
        size_t from = i++; /* at a separator */
        size_t equals = 0;
        for (; i < query.n && !is_separator(query.p[i]); i++)
            if (query.p[i] == '=' && equals == 0)
                equals = i;
        bool secret = equals != 0 && is_secret_name(str_make(query.p + from + 1, equals - from - 1));
        take(str_make(query.p + from, (secret ? equals + 1 : i) - from), arg);
        if (secret)
            take(STR("***"), arg);
    }
}

/* The path of links: all that follows it may be a secret. */
static bool is_link(str_t target)
{
    str_t link = STR(LINK_PATH);
    return target.n > link.n && target.p[1] == '.' && memcmp(target.p, link.p, link.n) == 0;
}

void target_text_parts(str_t target, target_part_t take, void *arg)
{
    if (is_link(target)) {
        take(STR(LINK_PATH), arg);
        take(target.p[sizeof(LINK_PATH) - 1] == '?' ? STR("?***") : STR("***"), arg);
        return;
    }
    const char *query = target.n != 0 ? memchr(target.p, '?', target.n) : NULL;
    size_t path_len = query != NULL ? (size_t)(query - target.p) : target.n;
    take(str_make(target.p, path_len), arg);
    /* The edge's own paths take no query: any query is a mistake and may hold secrets. */
    if (query != NULL && str_starts(target, STR(RESERVED_PATH)))
        take(STR("?***"), arg);
    else if (query != NULL)
        each_parameter(str_from_offset(target, path_len), take, arg);
}

typedef struct copy {
    char *out;
    size_t room; /* left */
    size_t n;    /* length of the text so far */
} copy_t;

static void add_part(str_t part, void *arg)
{
    copy_t *copy = arg;
    size_t n = part.n < copy->room ? part.n : copy->room;
    if (n != 0)
        memcpy(copy->out, part.p, n);
    copy->out += n;
    copy->room -= n;
    copy->n += part.n;
}

size_t target_text_copy(str_t target, char *out, size_t room)
{
    copy_t copy = {.out = out, .room = room};
    target_text_parts(target, add_part, &copy);
    return copy.n;
}

str_t target_text(arena_t *pool, str_t target)
{
    char bytes[TARGET_TEXT_BYTES + 1]; /* one more than a line shows, to mark the cut */
    size_t n = target_text_copy(target, bytes, sizeof(bytes));
    return str_dup(pool, str_make(bytes, n < sizeof(bytes) ? n : sizeof(bytes)));
}
