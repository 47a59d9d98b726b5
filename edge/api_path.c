/*
 * A path is read twice: as it is, by the letter, and as the most generous server would read it (path.h),
 * letters in any case. Where only the second reading finds a route of ours, it is misspelled.
 */
#include "api_path.h"

#include "path.h"

/* One more than the longest of our routes has. */
#define SEGMENTS_MAX 6

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
    str_t read = path_read(path, path.n <= sizeof(buffer) ? buffer : h2o_mem_alloc_pool(pool, path.n));
    segments = split(read);
    if (!is_one_of_ours(&segments))
        return letter.route == API_ROUTE_BOX ? letter : (api_path_t){.route = API_ROUTE_OTHER};
    bool ours = letter.route == API_ROUTE_PREVIEWS || letter.route == API_ROUTE_PREVIEW;
    /* Also with a "%" that encodes nothing: servers differ about it. */
    if (!ours || !str_eq(read, path) || memchr(path.p, '%', path.n) != NULL)
        return (api_path_t){.route = API_ROUTE_MISSPELLED};
    return letter;
}
