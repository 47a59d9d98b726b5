/*
 * A path is read twice: as it is, by the letter, and as the most generous server would read it:
 * percent-encoding undone, parameters (";…") cut off, backslashes as slashes, empty and dot segments removed,
 * letters in any case. Where only the second reading finds a route of ours, it is misspelled.
 */
#include "api_path.h"

#define SEGMENTS_MAX 16

typedef struct segments {
    str_t at[SEGMENTS_MAX];
    size_t count; /* SEGMENTS_MAX + 1: too many */
} segments_t;

static void add(segments_t *segments, str_t segment)
{
    if (segments->count < SEGMENTS_MAX)
        segments->at[segments->count] = segment;
    segments->count += segments->count <= SEGMENTS_MAX;
}

/* Splits what follows the first slash at every slash. */
static segments_t split(str_t path)
{
    segments_t segments = {.count = 0};
    str_t rest = str_from_offset(path, 1);
    for (;;) {
        const char *slash = rest.n != 0 ? memchr(rest.p, '/', rest.n) : NULL;
        size_t n = slash != NULL ? (size_t)(slash - rest.p) : rest.n;
        add(&segments, str_make(rest.p, n));
        if (slash == NULL)
            return segments;
        rest = str_from_offset(rest, n + 1);
    }
}

static size_t decode(str_t path, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        if (c == '%' && i + 2 < path.n && str_hex_value(path.p[i + 1]) >= 0 &&
            str_hex_value(path.p[i + 2]) >= 0) {
            c = (char)(str_hex_value(path.p[i + 1]) * 16 + str_hex_value(path.p[i + 2]));
            i += 2;
        }
        out[n++] = c == '\\' ? '/' : c;
    }
    return n;
}

/* Without parameters, empty and dot segments. */
static segments_t tidy(const segments_t *from)
{
    segments_t to = {.count = 0};
    for (size_t i = 0; i < from->count && i < SEGMENTS_MAX; i++) {
        str_t segment = from->at[i];
        const char *parameters = segment.n != 0 ? memchr(segment.p, ';', segment.n) : NULL;
        if (parameters != NULL)
            segment.n = (size_t)(parameters - segment.p);
        if (str_eq(segment, STR("..")))
            to.count -= to.count != 0;
        else if (segment.n != 0 && !str_eq(segment, STR(".")))
            add(&to, segment);
    }
    return to;
}

static bool is_one_of_ours(const segments_t *s)
{
    return (s->count == 4 || s->count == 5) && str_ieq(s->at[0], STR("v2")) &&
           str_ieq(s->at[1], STR("box")) && str_ieq(s->at[3], STR("preview"));
}

static api_path_t by_the_letter(const segments_t *s)
{
    api_path_t path = {.route = API_ROUTE_OTHER};
    if (s->count < 3 || s->count > 5 || !str_eq(s->at[0], STR("v2")) || !str_eq(s->at[1], STR("box")))
        return path;
    path.id = s->at[2];
    if (s->count == 3 && path.id.n != 0)
        path.route = API_ROUTE_BOX;
    if (s->count == 3 || !str_eq(s->at[3], STR("preview")))
        return path;
    path.route = s->count == 4 ? API_ROUTE_PREVIEWS : API_ROUTE_PREVIEW;
    if (s->count == 5)
        path.port = s->at[4];
    return path;
}

/* None of the ways in which it could be written otherwise. */
static bool is_plain(str_t path)
{
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] == '%' || path.p[i] == ';' || path.p[i] == '\\')
            return false;
    return true;
}

api_path_t api_path_parse(str_t target)
{
    const char *query = target.n != 0 ? memchr(target.p, '?', target.n) : NULL;
    str_t path = query != NULL ? str_make(target.p, (size_t)(query - target.p)) : target;
    char decoded[API_PATH_MAX];
    /* The shortest of them, in any spelling; most paths of others are read no further. */
    if (path.n < STR("/v2/box/a").n || path.n > API_PATH_MAX || path.p[0] != '/')
        return (api_path_t){.route = API_ROUTE_OTHER};
    segments_t raw = split(path);
    api_path_t letter = by_the_letter(&raw);
    segments_t read = split(str_make(decoded, decode(path, decoded)));
    read = tidy(&read);
    if (!is_one_of_ours(&read))
        return letter.route == API_ROUTE_BOX ? letter : (api_path_t){.route = API_ROUTE_OTHER};
    bool ours = letter.route == API_ROUTE_PREVIEWS || letter.route == API_ROUTE_PREVIEW;
    if (!ours || !is_plain(path) || read.count != raw.count)
        return (api_path_t){.route = API_ROUTE_MISSPELLED};
    return letter;
}
