#include "authority.h"

#include <arpa/inet.h>

#include "grammar.h"

/* "[" IPv6address "]", no zone, no IPvFuture. Returns its length with the brackets, or 0. */
static size_t ip_literal(str_t text)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr parsed;
    const char *close = memchr(text.p, ']', text.n);
    if (close == NULL)
        return 0;
    size_t len = (size_t)(close - text.p) - 1;
    if (len >= sizeof(address) || memchr(text.p + 1, '\0', len) != NULL)
        return 0;
    memcpy(address, text.p + 1, len);
    address[len] = '\0';
    return inet_pton(AF_INET6, address, &parsed) == 1 ? len + 2 : 0;
}

bool authority_parse(str_t text, authority_t *out)
{
    if (text.n == 0 || text.n > AUTHORITY_MAX)
        return false;
    size_t len;
    if (text.p[0] == '[') {
        len = ip_literal(text);
    } else {
        const char *colon = memchr(text.p, ':', text.n);
        len = colon != NULL ? (size_t)(colon - text.p) : text.n;
        if (len > 255 || !grammar_all(str_make(text.p, len), GRAMMAR_REG_NAME))
            return false;
    }
    if (len == 0)
        return false;
    *out = (authority_t){.host = str_make(text.p, len)};
    if (len == text.n)
        return true;
    str_t port = str_from_offset(text, len);
    if (port.p[0] != ':')
        return false;
    port = str_from_offset(port, 1);
    uint64_t value = 0;
    if (port.n != 0 && (port.n > 5 || !str_to_uint(port, UINT16_MAX, &value) || value == 0))
        return false;
    out->port = (uint16_t)value;
    return true;
}

bool authority_same(const authority_t *a, const authority_t *b, uint16_t default_port)
{
    return str_ieq(a->host, b->host) &&
           (a->port != 0 ? a->port : default_port) == (b->port != 0 ? b->port : default_port);
}

static bool ends_authority(char c)
{
    return c == '/' || c == '?' || c == '#' || c == '=' || c == ' ';
}

str_t authority_harmless(str_t text)
{
    size_t from = text.n, n = 0;
    while (from != 0 && text.p[from - 1] != '@')
        from--;
    for (size_t i = 0; i < from; i++)
        if (ends_authority(text.p[i]))
            return str_make(NULL, 0); /* the '@' may belong to a path or query */
    str_t rest = str_from_offset(text, from);
    while (n < rest.n && !ends_authority(rest.p[n]))
        n++;
    return str_make(rest.p, n);
}
