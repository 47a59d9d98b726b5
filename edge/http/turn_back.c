#include "turn_back.h"

#include <string.h>

#include "field.h"
#include "text.h"

/* A name of the app at the start of a text. */
typedef struct local_name {
    size_t n;       /* bytes of it; 0: none is there */
    bool websocket; /* ws or wss */
    bool bare;      /* no scheme and no slashes */
    bool relative;  /* slashes without a scheme */
} local_name_t;

static bool begins(str_t text, str_t prefix)
{
    return text.n >= prefix.n && str_ieq(str_make(text.p, prefix.n), prefix);
}

/* The length of the scheme with "://", or of "//"; sets what it is and the scheme's default port. */
static size_t scheme_length(str_t text, local_name_t *name, uint16_t *default_port)
{
    static const struct {
        str_t text;
        bool websocket;
        uint16_t port;
    } schemes[] = {{{"http://", 7}, false, 80},
                   {{"https://", 8}, false, 443},
                   {{"ws://", 5}, true, 80},
                   {{"wss://", 6}, true, 443}};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (!begins(text, schemes[i].text))
            continue;
        name->websocket = schemes[i].websocket;
        *default_port = schemes[i].port;
        return schemes[i].text.n;
    }
    *default_port = 80; /* the app believes that it is reached over http */
    name->relative = begins(text, STR("//"));
    name->bare = !name->relative;
    return name->relative ? 2 : 0;
}

static size_t host_length(str_t text)
{
    static const str_t hosts[] = {{"localhost", 9}, {"127.0.0.1", 9}, {"[::1]", 5}};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        if (begins(text, hosts[i]))
            return hosts[i].n;
    return 0;
}

/* The length of ":<port>", or of ":*" if `any`; 0: another port, or none. */
static size_t port_length(str_t text, uint16_t port, bool any)
{
    char digits[8] = ":";
    size_t n = 1;
    for (unsigned unit = 10000; unit != 0; unit /= 10)
        if (port >= unit)
            digits[n++] = (char)('0' + port / unit % 10);
    if (text.n >= n && memcmp(text.p, digits, n) == 0)
        return n;
    return any && begins(text, STR(":*")) ? 2 : 0;
}

/* The app's name at the start of `text`. A byte of `ends`, or nothing, must follow it. */
static local_name_t local_name(const turn_back_t *to, str_t text, const char *ends, bool any_port)
{
    static const local_name_t none;
    local_name_t name = none;
    uint16_t default_port;
    size_t n = scheme_length(text, &name, &default_port);
    size_t host = host_length(str_from_offset(text, n));
    if (host == 0)
        return none;
    n += host;
    size_t port = port_length(str_from_offset(text, n), to->port, any_port);
    if (port == 0 && to->port != default_port)
        return none;
    n += port;
    if (n < text.n && (text.p[n] == '\0' || strchr(ends, text.p[n]) == NULL))
        return none;
    name.n = n;
    return name;
}

static void put_public(text_t *out, const turn_back_t *to, const local_name_t *name)
{
    if (name->websocket)
        text_put(out, to->https ? STR("wss://") : STR("ws://"));
    else if (name->relative)
        text_put(out, STR("//"));
    else if (!name->bare)
        text_put(out, to->https ? STR("https://") : STR("http://"));
    text_put(out, to->authority);
}

/* The longest public name. */
static size_t public_max(const turn_back_t *to)
{
    return sizeof("https://") + to->authority.n;
}

/* `value` with the app's name at `at` turned back. */
static str_t turned_at(arena_t *pool, const turn_back_t *to, str_t value, size_t at, const char *ends)
{
    local_name_t name = local_name(to, str_from_offset(value, at), ends, false);
    if (name.n == 0 || name.bare)
        return value;
    text_t out = text_new(pool, value.n + public_max(to));
    text_put(&out, str_make(value.p, at));
    put_public(&out, to, &name);
    text_put(&out, str_from_offset(value, at + name.n));
    return text_str(&out);
}

str_t turn_back_url(arena_t *pool, const turn_back_t *to, str_t value)
{
    return turned_at(pool, to, value, 0, "/?#");
}

str_t turn_back_origin(arena_t *pool, const turn_back_t *to, str_t value)
{
    if (begins(value, STR("//")))
        return value;
    return turned_at(pool, to, value, 0, "");
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static size_t skip_spaces(str_t value, size_t at)
{
    while (at < value.n && is_space(value.p[at]))
        at++;
    return at;
}

/* The place of the URL in a Refresh; value.n: it has none. */
static size_t refresh_url(str_t value)
{
    size_t at = 0;
    while (at < value.n && ((value.p[at] >= '0' && value.p[at] <= '9') || value.p[at] == '.'))
        at++;
    if (at == 0)
        return value.n;
    size_t digits = at;
    at = skip_spaces(value, at);
    if (at < value.n && (value.p[at] == ';' || value.p[at] == ','))
        at = skip_spaces(value, at + 1);
    if (at == digits)
        return value.n;
    if (begins(str_from_offset(value, at), STR("url"))) {
        size_t equals = skip_spaces(value, at + 3);
        if (equals < value.n && value.p[equals] == '=')
            at = skip_spaces(value, equals + 1);
    }
    if (at < value.n && (value.p[at] == '"' || value.p[at] == '\''))
        at++;
    return at;
}

str_t turn_back_refresh(arena_t *pool, const turn_back_t *to, str_t value)
{
    size_t at = refresh_url(value);
    return at == value.n ? value : turned_at(pool, to, value, at, "/?#\"' \t");
}

static bool ends_source(char c)
{
    return is_space(c) || c == ';' || c == ',';
}

str_t turn_back_policy(arena_t *pool, const turn_back_t *to, str_t value)
{
    text_t out = {0};
    size_t taken = 0, turned = 0, at = 0;
    while (at < value.n && turned < TURN_BACK_SOURCES_MAX) {
        if (at != 0 && !ends_source(value.p[at - 1])) {
            at++;
            continue;
        }
        local_name_t name = local_name(to, str_from_offset(value, at), "/ \t;,", true);
        if (name.n == 0 || name.relative) {
            at++;
            continue;
        }
        if (turned++ == 0)
            out = text_new(pool, value.n + TURN_BACK_SOURCES_MAX * public_max(to));
        text_put(&out, str_make(value.p + taken, at - taken));
        put_public(&out, to, &name);
        taken = at = at + name.n;
    }
    if (turned == 0)
        return value;
    text_put(&out, str_from_offset(value, taken));
    return text_str(&out);
}
