/*
 * Reads a path twice: by the letter, and as the most lenient server would read it (path.h), letters in any
 * case. If only the second reading finds a route of ours, the path is misspelled.
 */
#include "api_path.h"

#include "arena.h"
#include "field.h"
#include "path.h"

/* One more than the segments of our longest route. */
#define SEGMENTS_MAX 8

typedef struct segments {
    str_t at[SEGMENTS_MAX];
    size_t count; /* SEGMENTS_MAX: that many or more */
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
    return s->count >= 4 && s->count < SEGMENTS_MAX && str_ieq(s->at[0], STR("v2")) &&
           str_ieq(s->at[1], STR("box")) && str_ieq(s->at[3], STR("preview")) &&
           (s->count < 6 || str_ieq(s->at[5], STR("links")));
}

static bool look_for_ours(str_t reading, void *found)
{
    segments_t segments = split(reading);
    *(bool *)found = is_one_of_ours(&segments);
    return !*(bool *)found;
}

static api_path_t by_the_letter(const segments_t *s)
{
    api_path_t path = {.route = API_ROUTE_OTHER};
    if (s->count < 3 || s->count >= SEGMENTS_MAX || !str_eq(s->at[0], STR("v2")) ||
        !str_eq(s->at[1], STR("box")))
        return path;
    path.id = s->at[2];
    if (s->count == 3 && path.id.n != 0)
        path.route = API_ROUTE_BOX;
    if (s->count == 3 || !str_eq(s->at[3], STR("preview")))
        return path;
    if (s->count > 5 && !str_eq(s->at[5], STR("links")))
        return path;
    static const api_route_t routes[] = {
        [4] = API_ROUTE_PREVIEWS, [5] = API_ROUTE_PREVIEW, [6] = API_ROUTE_LINKS, [7] = API_ROUTE_LINK};
    path.route = routes[s->count];
    if (s->count > 4)
        path.port = s->at[4];
    if (s->count > 6)
        path.link = s->at[6];
    return path;
}

str_t api_path_without_query(str_t target)
{
    const char *query = target.n != 0 ? memchr(target.p, '?', target.n) : NULL;
    return query != NULL ? str_make(target.p, (size_t)(query - target.p)) : target;
}

api_path_t api_path_parse(arena_t *pool, str_t target)
{
    str_t path = api_path_without_query(target);
    char buffer[API_PATH_SHORT];
    /* No route of ours is shorter, in any spelling. */
    if (path.n < STR("/v2/box/a").n || path.p[0] != '/')
        return (api_path_t){.route = API_ROUTE_OTHER};
    segments_t segments = split(path);
    api_path_t letter = by_the_letter(&segments);
    char *out = path.n <= sizeof(buffer) ? buffer : arena_alloc(pool, path.n);
    bool found = false;
    path_each_reading(path, out, look_for_ours, &found);
    if (!found)
        return letter.route == API_ROUTE_BOX ? letter : (api_path_t){.route = API_ROUTE_OTHER};
    bool ours = letter.route != API_ROUTE_OTHER && letter.route != API_ROUTE_BOX;
    /* Includes a "%" that encodes nothing: servers differ about it. */
    if (!ours || !str_eq(path_read(path, out), path) || memchr(path.p, '%', path.n) != NULL)
        return (api_path_t){.route = API_ROUTE_MISSPELLED};
    return letter;
}

/* ---- boxes ---- */

typedef struct reader {
    arena_t *pool;
    api_boxes_t boxes;
} reader_t;

/* The meaning of the segments; *name is a slice of them. */
static api_boxes_kind_t boxes_of(const segments_t *s, str_t *name)
{
    *name = str_make("", 0);
    if ((s->count != 2 && s->count != 3) || !str_ieq(s->at[0], STR("v2")) || !str_ieq(s->at[1], STR("box")))
        return API_BOXES_NONE;
    if (s->count == 2 || s->at[2].n == 0)
        return API_BOXES_MANY;
    *name = s->at[2];
    return API_BOXES_ONE;
}

static bool take_reading(str_t reading, void *arg)
{
    reader_t *reader = arg;
    api_boxes_t *boxes = &reader->boxes;
    segments_t segments = split(reading);
    str_t name;
    api_boxes_kind_t kind = boxes_of(&segments, &name);
    if (kind == API_BOXES_NONE)
        return true;
    if (boxes->kind == API_BOXES_NONE)
        *boxes = (api_boxes_t){.kind = kind, .name = str_dup(reader->pool, name)};
    else if (boxes->kind != kind || !str_eq(boxes->name, name))
        boxes->kind = API_BOXES_UNCLEAR;
    return boxes->kind != API_BOXES_UNCLEAR;
}

api_boxes_t api_path_boxes(arena_t *pool, str_t target)
{
    str_t path = api_path_without_query(target), raw_name;
    char buffer[API_PATH_SHORT];
    reader_t reader = {.pool = pool, .boxes = {.kind = API_BOXES_NONE}};
    if (path.n < STR("/v2/box").n || path.p[0] != '/')
        return reader.boxes;
    segments_t segments = split(path);
    api_boxes_kind_t letter = boxes_of(&segments, &raw_name);
    char *out = path.n <= sizeof(buffer) ? buffer : arena_alloc(pool, path.n);
    segments = split(path_read(path, out));
    api_boxes_kind_t decoded = boxes_of(&segments, &raw_name);
    path_each_reading(path, out, take_reading, &reader);
    api_boxes_t *boxes = &reader.boxes;
    boxes->path = path;
    if (boxes->kind == API_BOXES_NONE)
        boxes->kind = letter; /* a name with an encoded slash */
    else if (decoded == API_BOXES_NONE || (letter != API_BOXES_NONE && letter != boxes->kind))
        boxes->kind = API_BOXES_UNCLEAR;
    return *boxes;
}
