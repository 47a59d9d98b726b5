#include "preview_text.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "utf8.h"

/* ---- the label ---- */

typedef struct code_range {
    uint32_t first;
    uint32_t last;
} code_range_t;

/* Controls; line and paragraph separators; marks and overrides of direction; the byte order mark. */
static const code_range_t not_shown[] = {{0, 0x1f},        {0x7f, 0x9f},     {0x61c, 0x61c},
                                         {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069},
                                         {0xfeff, 0xfeff}};

/* The code point of a well-formed sequence of `n` bytes. */
static uint32_t code_point(const char *p, size_t n)
{
    uint32_t code = (uint8_t)p[0] & (n == 1 ? 0x7fu : 0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        code = code << 6 | ((uint8_t)p[i] & 0x3fu);
    return code;
}

bool preview_label_valid(str_t text)
{
    if (text.n > STORE_LABEL_MAX)
        return false;
    while (text.n != 0) {
        size_t n = utf8_sequence(text);
        if (n == 0)
            return false;
        uint32_t code = code_point(text.p, n);
        for (size_t i = 0; i < sizeof(not_shown) / sizeof(not_shown[0]); i++)
            if (code >= not_shown[i].first && code <= not_shown[i].last)
                return false;
        text = str_from_offset(text, n);
    }
    return true;
}

/* ---- origins ---- */

/* "[2001:db8::1]": in brackets, and in the form of inet_ntop. */
static bool is_ipv6_literal(str_t host)
{
    char text[INET6_ADDRSTRLEN], again[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (host.n < 4 || host.n - 2 >= sizeof(text) || host.p[0] != '[' || host.p[host.n - 1] != ']')
        return false;
    memcpy(text, host.p + 1, host.n - 2);
    text[host.n - 2] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1 &&
           inet_ntop(AF_INET6, &address, again, sizeof(again)) != NULL && strcmp(text, again) == 0;
}

/* Letters, digits, '-' and '_' between single dots. */
static bool is_host_name(str_t host)
{
    char before = '.';
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (!word && (c != '.' || before == '.'))
            return false;
        before = c;
    }
    return host.n != 0 && before != '.';
}

/* Reads a lower-case origin; *port is 0 if it is missing, or the scheme's own. */
static bool read_origin(str_t text, str_t *scheme, str_t *host, uint64_t *port)
{
    static const str_t schemes[] = {{"https://", 8}, {"http://", 7}};
    static const uint64_t own_port[] = {443, 80};
    size_t which = str_starts(text, schemes[0]) ? 0 : 1;
    if (!str_starts(text, schemes[which]))
        return false;
    *scheme = schemes[which];
    str_t rest = str_from_offset(text, scheme->n);
    const char *colon = rest.n != 0 ? memrchr(rest.p, ':', rest.n) : NULL;
    if (colon != NULL && memchr(colon, ']', (size_t)(rest.p + rest.n - colon)) != NULL)
        colon = NULL; /* within an IPv6 address */
    *host = colon != NULL ? str_make(rest.p, (size_t)(colon - rest.p)) : rest;
    *port = 0;
    if (colon != NULL) {
        str_t digits = str_from_offset(rest, host->n + 1);
        if (digits.n == 0 || digits.p[0] == '0' || !str_to_uint(digits, UINT16_MAX, port))
            return false;
    }
    if (*port == own_port[which])
        *port = 0;
    return is_host_name(*host) || is_ipv6_literal(*host);
}

static bool is_listed(const char *list, str_t origin)
{
    for (str_t rest = str_from(list); rest.n != 0;) {
        const char *space = memchr(rest.p, ' ', rest.n);
        size_t n = space != NULL ? (size_t)(space - rest.p) : rest.n;
        if (str_eq(str_make(rest.p, n), origin))
            return true;
        rest = str_from_offset(rest, space != NULL ? n + 1 : n);
    }
    return false;
}

bool preview_origins_add(char list[STORE_ORIGINS_MAX + 1], str_t text)
{
    char lower[STORE_ORIGINS_MAX], origin[STORE_ORIGINS_MAX + 1];
    size_t used = strlen(list);
    str_t scheme, host;
    uint64_t port;
    if (text.n > sizeof(lower))
        return false;
    for (size_t i = 0; i < text.n; i++)
        lower[i] = str_lower(text.p[i]);
    if (!read_origin(str_make(lower, text.n), &scheme, &host, &port))
        return false;
    int n = port != 0 ? snprintf(origin, sizeof(origin), "%.*s%.*s:%u", STR_ARG(scheme), STR_ARG(host),
                                 (unsigned)port)
                      : snprintf(origin, sizeof(origin), "%.*s%.*s", STR_ARG(scheme), STR_ARG(host));
    size_t len = (size_t)n;
    if (is_listed(list, str_make(origin, len)))
        return true;
    if (used + (used != 0) + len > STORE_ORIGINS_MAX)
        return false;
    if (used != 0)
        list[used++] = ' ';
    memcpy(list + used, origin, len + 1);
    return true;
}
