/*
 * The cost of a request, and the routes that need no key or prove one. A path with several readings
 * is read literally and as lenient servers would read it (path_each_reading), with letters in any
 * case; so is the method. The dearest reading counts, so another spelling of a path is never
 * cheaper.
 */
#include "conf_value.h"
#include "path.h"

/* Longer paths are read literally, and also cost as much as the dearest. */
#define READ_MAX 4096

static bool is_placeholder(str_t segment)
{
    return segment.n >= 2 && segment.p[0] == '{' && segment.p[segment.n - 1] == '}';
}

const char *conf_value_pattern(str_t text)
{
    while (text.n != 0 && text.p[0] == '/') {
        str_t segment = path_take_segment(&text);
        bool last = text.n == 0;
        if (segment.n == 0 && !last)
            return "has two slashes in a row";
        if (is_placeholder(segment) || (last && str_eq(segment, STR("*"))))
            continue;
        for (size_t i = 0; i < segment.n; i++) {
            if (segment.p[i] == '*')
                return "has a \"*\" that is not its last segment";
            if (segment.p[i] == '{' || segment.p[i] == '}')
                return "has a brace that is not around a whole segment";
            if (segment.p[i] == '?' || segment.p[i] == '%' || segment.p[i] == ';')
                return "has a query, a parameter or an encoded character";
        }
    }
    return NULL;
}

/* "{id}" matches one segment that is not empty, a "*" at the end the whole rest. */
static bool matches(str_t pattern, str_t path, bool any_case)
{
    while (pattern.n != 0 && path.n != 0 && path.p[0] == '/') {
        str_t want = path_take_segment(&pattern);
        if (pattern.n == 0 && str_eq(want, STR("*")))
            return true;
        str_t got = path_take_segment(&path);
        bool same = any_case ? str_ieq(want, got) : str_eq(want, got);
        if (!same && !(is_placeholder(want) && got.n != 0))
            return false;
    }
    return pattern.n == 0 && path.n == 0;
}

static bool is_method(const char *wanted, str_t method, bool any_case)
{
    str_t want = str_from(wanted);
    return wanted[0] == '*' || (any_case ? str_ieq(want, method) : str_eq(want, method));
}

static uint32_t first_match(const conf_t *conf, str_t method, str_t path, bool any_case)
{
    for (size_t i = 0; i < conf->api.cost_count; i++) {
        const conf_cost_t *cost = &conf->api.costs[i];
        if (is_method(cost->method, method, any_case) && matches(str_from(cost->path), path, any_case))
            return cost->cost;
    }
    return 1;
}

static uint32_t dearest(const conf_t *conf, str_t method)
{
    uint32_t most = 1;
    for (size_t i = 0; i < conf->api.cost_count; i++)
        if (is_method(conf->api.costs[i].method, method, true) && conf->api.costs[i].cost > most)
            most = conf->api.costs[i].cost;
    return most;
}

/* Returns whether the path has only one reading. */
static bool is_plain(str_t path)
{
    char before = '\0';
    for (size_t i = 0; i < path.n; before = path.p[i], i++) {
        char c = path.p[i];
        if (c == '%' || c == ';' || c == '\\' || c == '#' || (c >= 'A' && c <= 'Z'))
            return false;
        if (before == '/' && (c == '/' || c == '.'))
            return false;
    }
    return path.n == 1 || before != '/';
}

static bool has_lower_case(str_t text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] >= 'a' && text.p[i] <= 'z')
            return true;
    return false;
}

/* The cost of the dearest reading. */
typedef struct dearer {
    const conf_t *conf;
    str_t method;
    uint32_t cost;
} dearer_t;

static bool take_reading(str_t path, void *arg)
{
    dearer_t *dearer = arg;
    uint32_t cost = first_match(dearer->conf, dearer->method, path, true);
    if (cost > dearer->cost)
        dearer->cost = cost;
    return true;
}

uint32_t conf_cost_of(const conf_t *conf, str_t method, str_t path)
{
    if (conf->api.cost_count == 0)
        return 1;
    dearer_t dearer = {conf, method, first_match(conf, method, path, false)};
    if (path.n == 0 || path.p[0] != '/' || (is_plain(path) && !has_lower_case(method)))
        return dearer.cost;
    char out[READ_MAX];
    uint32_t most = path.n > sizeof(out) ? dearest(conf, method) : 0;
    if (path.n <= sizeof(out))
        path_each_reading(path, out, take_reading, &dearer);
    return most > dearer.cost ? most : dearer.cost;
}

/* ---- lists of routes ---- */

typedef struct routes {
    const conf_route_t *at;
    size_t count;
    str_t method;
    bool all; /* all readings so far fit a route */
    bool any;
} routes_t;

static bool fits_one(const routes_t *routes, str_t path, bool any_case)
{
    for (size_t i = 0; i < routes->count; i++)
        if (is_method(routes->at[i].method, routes->method, any_case) &&
            matches(str_from(routes->at[i].path), path, any_case))
            return true;
    return false;
}

static bool fit_reading(str_t path, void *arg)
{
    routes_t *routes = arg;
    bool fits = fits_one(routes, path, true);
    routes->all &= fits;
    routes->any |= fits;
    return true;
}

/* Tests every reading, and the literal path. A path that is too long to be read counts both as
 * fitting and as not fitting. */
static void fit_all(routes_t *routes, str_t path)
{
    char out[READ_MAX];
    routes->all = routes->any = fits_one(routes, path, false);
    if (path.n == 0 || path.p[0] != '/' || is_plain(path))
        return;
    if (path.n <= sizeof(out)) {
        path_each_reading(path, out, fit_reading, routes);
        return;
    }
    routes->all = false;
    routes->any = true;
}

bool conf_is_unkeyed(const conf_t *conf, str_t method, str_t path)
{
    routes_t routes = {.at = conf->api.unkeyed, .count = conf->api.unkeyed_count, .method = method};
    fit_all(&routes, path);
    return routes.all;
}

bool conf_proves_key(const conf_t *conf, str_t method, str_t path)
{
    routes_t proves = {.at = conf->api.proves, .count = conf->api.proves_count, .method = method};
    routes_t open = {.at = conf->api.unkeyed, .count = conf->api.unkeyed_count, .method = method};
    fit_all(&proves, path);
    fit_all(&open, path);
    return proves.all && !open.any;
}

/* ---- fractions ---- */

const char *conf_value_fraction(str_t text, uint32_t *millionths)
{
    uint32_t value = 0;
    size_t decimals = 0;
    if (text.n == 0 || (text.p[0] != '0' && text.p[0] != '1') || (text.n > 1 && text.p[1] != '.'))
        return "is not a number from 0 to 1";
    if (text.n == 2 || text.n > 8)
        return "does not have one to six decimals after its point";
    for (size_t i = 0; i < text.n; i++) {
        if (i == 1)
            continue;
        if (!(text.p[i] >= '0' && text.p[i] <= '9'))
            return "is not a number from 0 to 1";
        value = value * 10 + (uint32_t)(text.p[i] - '0');
        decimals += i > 1;
    }
    for (; decimals < 6; decimals++)
        value *= 10;
    if (value > 1000000)
        return "is too large";
    *millionths = value;
    return NULL;
}
