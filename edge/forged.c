#include "forged.h"

#include <string.h>

typedef enum forged_kind {
    FORGED_ALWAYS,    /* from everybody: trusted proxies pass most fields of their clients on */
    FORGED_BY_CLIENT, /* unless it comes from a trusted proxy */
    FORGED_ALIAS,     /* the edge knows this name and sets it: another spelling of it is forged */
} forged_kind_t;

typedef struct forged_field {
    str_t name;
    forged_kind_t kind;
} forged_field_t;

#define FORGED(name, kind)                                                                                   \
    {                                                                                                        \
        {name, sizeof(name) - 1}, kind                                                                       \
    }

/* In the order of their first letters. */
static const forged_field_t forged[] = {
    FORGED("cdn-loop", FORGED_ALIAS),
    FORGED("cf-connecting-ip", FORGED_ALWAYS),
    FORGED("cf-connecting-ipv6", FORGED_ALWAYS),
    FORGED("cf-pseudo-ipv4", FORGED_ALWAYS),
    FORGED("client-ip", FORGED_ALWAYS),
    FORGED("fastly-client-ip", FORGED_ALWAYS),
    FORGED("forwarded-for", FORGED_ALWAYS),
    FORGED("proxy", FORGED_ALWAYS), /* HTTP_PROXY in the environment of CGI programs */
    FORGED("proxy-client-ip", FORGED_ALWAYS),
    FORGED("traceparent", FORGED_ALIAS),
    FORGED("true-client-ip", FORGED_ALWAYS),
    FORGED("wl-proxy-client-ip", FORGED_ALWAYS),
    FORGED("x-appengine-user-ip", FORGED_ALWAYS),
    FORGED("x-azure-clientip", FORGED_ALWAYS),
    FORGED("x-azure-socketip", FORGED_ALWAYS),
    FORGED("x-client-ip", FORGED_ALWAYS),
    FORGED("x-cluster-client-ip", FORGED_ALWAYS),
    FORGED("x-envoy-external-address", FORGED_ALWAYS),
    FORGED("x-forwarded", FORGED_ALWAYS),
    FORGED("x-original-forwarded-for", FORGED_ALWAYS),
    FORGED("x-original-url", FORGED_BY_CLIENT),
    FORGED("x-originating-ip", FORGED_ALWAYS),
    FORGED("x-proxyuser-ip", FORGED_ALWAYS),
    FORGED("x-real-ip", FORGED_ALWAYS),
    FORGED("x-remote-addr", FORGED_ALWAYS),
    FORGED("x-remote-ip", FORGED_ALWAYS),
    FORGED("x-request-id", FORGED_ALIAS),
    FORGED("x-rewrite-url", FORGED_BY_CLIENT),
    FORGED("x-true-client-ip", FORGED_ALWAYS),
};

static bool has_underscore(str_t name)
{
    return memchr(name.p, '_', name.n) != NULL;
}

/* Whether the first bytes of `name` read as `expected`. */
static bool begins(str_t name, str_t expected)
{
    if (name.n < expected.n)
        return false;
    for (size_t i = 0; i < expected.n; i++) {
        char c = name.p[i] == '_' ? '-' : str_lower(name.p[i]);
        if (c != expected.p[i])
            return false;
    }
    return true;
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
    char first = name.n != 0 ? str_lower(name.p[0]) : '\0';
    if (first != 'x' && first != 'c' && first != 'f' && first != 'p' && first != 't' && first != 'w')
        return false;
    if (begins(name, STR("x-forwarded-")))
        return !trusted || has_underscore(name);
    for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++)
        if (forged[i].name.n == name.n && begins(name, forged[i].name))
            return counts(forged[i].kind, trusted, has_underscore(name));
    return false;
}
