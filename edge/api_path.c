/*
 * A path is read twice: as it is, by the letter, and as the most generous server would read it (path.h),
 * letters in any case. Where only the second reading finds a route of ours, it is misspelled.
 */
#include "api_path.h"

#include "path.h"

/* One more than the longest of our routes has. */
#define SEGMENTS_MAX 6

/* How often servers in a row may decode a path. */
#define DECODES_MAX 3

typedef struct segments {
    str_t at[SEGMENTS_MAX];
    size_t count; /* SEGMENTS_MAX: so many, or more */
} segments_t;

static segments_t split(str_t path)
{
    segments_t segments = {.count = 0};
    while (path.n != 0 && segments.count < SEGMENTS_MAX)
        segments.at[segments.count++] = path_take_segment(&path);
    return segments;
}

static bool is_one_of_ours(const segments_t *s)
{
    return (s->count == 4 || s->count == 5) && str_ieq(s->at[0], STR("v2")) &&
           str_ieq(s->at[1], STR("box")) && str_ieq(s->at[3], STR("preview"));
}

/* A path for a server that decodes it before it looks for its end: in C, or for its query. */
static str_t cut_at_its_end(str_t path)
{
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] == '\0' || path.p[i] == '?' || path.p[i] == '#')
            return str_make(path.p, i);
    return path;
}

static bool reads_as_ours(str_t read)
{
    segments_t segments = split(read);
    if (is_one_of_ours(&segments))
        return true;
    segments = split(cut_at_its_end(read));
    return is_one_of_ours(&segments);
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

api_path_t api_path_parse(h2o_mem_pool_t *pool, str_t target)
{
    const char *query = target.n != 0 ? memchr(target.p, '?', target.n) : NULL;
    str_t path = query != NULL ? str_make(target.p, (size_t)(query - target.p)) : target;
    char buffer[API_PATH_SHORT];
    /* The shortest of them, in any spelling; most paths of others are read no further. */
    if (path.n < STR("/v2/box/a").n || path.p[0] != '/')
        return (api_path_t){.route = API_ROUTE_OTHER};
    segments_t segments = split(path);
    api_path_t letter = by_the_letter(&segments);
    char *out = path.n <= sizeof(buffer) ? buffer : h2o_mem_alloc_pool(pool, path.n);
    str_t read = path_read(path, out);
    bool found = reads_as_ours(read);
    bool same = str_eq(read, path);
    /* A proxy on the way may decode it too: once more, in place. */
    for (unsigned i = 1; !found && i < DECODES_MAX && memchr(read.p, '%', read.n) != NULL; i++) {
        read = path_read(read, out);
        found = reads_as_ours(read);
    }
    if (!found)
        return letter.route == API_ROUTE_BOX ? letter : (api_path_t){.route = API_ROUTE_OTHER};
    bool ours = letter.route == API_ROUTE_PREVIEWS || letter.route == API_ROUTE_PREVIEW;
    /* Also with a "%" that encodes nothing: servers differ about it. */
    if (!ours || !same || memchr(path.p, '%', path.n) != NULL)
        return (api_path_t){.route = API_ROUTE_MISSPELLED};
    return letter;
}
