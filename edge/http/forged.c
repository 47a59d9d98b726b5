#include "forged.h"

#include <stdint.h>
#include <string.h>

typedef enum forged_kind {
    FORGED_ALWAYS,    /* from any sender: trusted proxies pass most fields of their clients on */
    FORGED_BY_CLIENT, /* unless a trusted proxy sends it */
    FORGED_ALIAS,     /* the edge sets the field of this name: any other spelling is forged */
} forged_kind_t;

/* First letter, name, kind. "Proxy" becomes HTTP_PROXY in the environment of CGI programs. */
#define FORGED_FIELDS(X)                                                                                     \
    X('c', "cdn-loop", FORGED_ALIAS)                                                                         \
    X('c', "cf-connecting-ip", FORGED_ALWAYS)                                                                \
    X('c', "cf-connecting-ipv6", FORGED_ALWAYS)                                                              \
    X('c', "cf-pseudo-ipv4", FORGED_ALWAYS)                                                                  \
    X('c', "client-ip", FORGED_ALWAYS)                                                                       \
    X('f', "fastly-client-ip", FORGED_ALWAYS)                                                                \
    X('f', "forwarded-for", FORGED_ALWAYS)                                                                   \
    X('p', "proxy", FORGED_ALWAYS)                                                                           \
    X('p', "proxy-client-ip", FORGED_ALWAYS)                                                                 \
    X('t', "traceparent", FORGED_ALIAS)                                                                      \
    X('t', "true-client-ip", FORGED_ALWAYS)                                                                  \
    X('w', "wl-proxy-client-ip", FORGED_ALWAYS)                                                              \
    X('x', "x-appengine-user-ip", FORGED_ALWAYS)                                                             \
    X('x', "x-azure-clientip", FORGED_ALWAYS)                                                                \
    X('x', "x-azure-socketip", FORGED_ALWAYS)                                                                \
    X('x', "x-client-ip", FORGED_ALWAYS)                                                                     \
    X('x', "x-cluster-client-ip", FORGED_ALWAYS)                                                             \
    X('x', "x-envoy-external-address", FORGED_ALWAYS)                                                        \
    X('x', "x-forwarded", FORGED_ALWAYS)                                                                     \
    X('x', "x-original-forwarded-for", FORGED_ALWAYS)                                                        \
    X('x', "x-original-url", FORGED_BY_CLIENT)                                                               \
    X('x', "x-originating-ip", FORGED_ALWAYS)                                                                \
    X('x', "x-proxyuser-ip", FORGED_ALWAYS)                                                                  \
    X('x', "x-real-ip", FORGED_ALWAYS)                                                                       \
    X('x', "x-remote-addr", FORGED_ALWAYS)                                                                   \
    X('x', "x-remote-ip", FORGED_ALWAYS)                                                                     \
    X('x', "x-request-id", FORGED_ALIAS)                                                                     \
    X('x', "x-rewrite-url", FORGED_BY_CLIENT)                                                                \
    X('x', "x-true-client-ip", FORGED_ALWAYS)

typedef struct forged_field {
    str_t name;
    forged_kind_t kind;
} forged_field_t;

static const forged_field_t forged[] = {
#define X(letter, name, kind) {{name, sizeof(name) - 1}, kind},
    FORGED_FIELDS(X)
#undef X
};

#define X(letter, name, kind) _Static_assert(sizeof(name) - 1 < 32, "lengths_for");
FORGED_FIELDS(X)
#undef X

/* A bit for each length of a listed name that begins with `first`, a constant after inlining. */
static inline __attribute__((always_inline)) uint32_t lengths_for(char first)
{
    uint32_t lengths = 0;
#define X(letter, name, kind) lengths |= letter == first ? UINT32_C(1) << (sizeof(name) - 1) : 0;
    FORGED_FIELDS(X)
#undef X
    return lengths;
}

/* False for nearly every name outside the list. */
static bool may_be_listed(str_t name)
{
    uint32_t lengths;
    if (name.n == 0 || name.n >= 32)
        return false;
    switch (str_lower(name.p[0])) {
#define LETTER(c)                                                                                            \
    case c:                                                                                                  \
        lengths = lengths_for(c);                                                                            \
        break;
        LETTER('c')
        LETTER('f')
        LETTER('p')
        LETTER('t')
        LETTER('w')
        LETTER('x')
#undef LETTER
    default:
        return false;
    }
    return (lengths >> name.n & 1) != 0;
}

static bool has_underscore(str_t name)
{
    return memchr(name.p, '_', name.n) != NULL;
}

static bool begins(str_t name, str_t expected)
{
    return name.n >= expected.n && str_ieq_alias(str_make(name.p, expected.n), expected);
}

static bool counts(forged_kind_t kind, bool trusted, bool alias)
{
    switch (kind) {
    case FORGED_ALWAYS:
        return true;
    case FORGED_BY_CLIENT:
        return !trusted || alias;
    case FORGED_ALIAS:
        return alias;
    }
    return true;
}

bool forged_name(str_t name, bool trusted)
{
    if (name.n >= 12 && str_lower(name.p[0]) == 'x' && begins(name, STR("x-forwarded-")))
        return !trusted || has_underscore(name);
    if (!may_be_listed(name))
        return false;
    for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++)
        if (forged[i].name.n == name.n && begins(name, forged[i].name))
            return counts(forged[i].kind, trusted, has_underscore(name));
    return false;
}
