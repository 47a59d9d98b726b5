#include "hostname.h"

#include <assert.h>

bool preview_label_fits(str_t id, uint16_t port)
{
    size_t digits = 1;
    for (unsigned rest = port; rest >= 10; rest /= 10)
        digits++;
    return id.n <= PREVIEW_LABEL_MAX && id.n + 1 + digits <= PREVIEW_LABEL_MAX;
}

/* The port of a label: 1-65535, without leading zeros. */
static bool label_port(str_t text, uint16_t *port)
{
    uint64_t value;
    if (text.n == 0 || text.p[0] == '0' || !str_to_uint(text, UINT16_MAX, &value))
        return false;
    *port = (uint16_t)value;
    return true;
}

/* "<id>-<port>": ids may contain dashes, so the last one splits. */
bool hostname_parse_label(str_t label, hostname_t *out)
{
    if (label.n == 0 || label.n > PREVIEW_LABEL_MAX)
        return false;
    const char *dash = memrchr(label.p, '-', label.n);
    if (dash == NULL)
        return false;
    size_t id_len = (size_t)(dash - label.p);
    hostname_t name = {.id_len = (uint8_t)id_len};
    if (id_len > BOX_ID_MAX || !label_port(str_from_offset(label, id_len + 1), &name.port))
        return false;
    for (size_t i = 0; i < id_len; i++)
        name.id[i] = str_lower(label.p[i]);
    if (!box_id_valid(str_make(name.id, id_len)))
        return false;
    *out = name;
    return true;
}

/*
 * Returns whether `host` is `domain` or ends with "." and `domain`. *label receives the text before
 * that, empty for the domain itself.
 */
static bool split_domain(str_t host, str_t domain, str_t *label)
{
    if (host.n < domain.n || !str_ieq(str_from_offset(host, host.n - domain.n), domain))
        return false;
    *label = str_make(host.p, host.n - domain.n);
    if (label->n == 0)
        return true;
    if (label->p[label->n - 1] != '.')
        return false;
    label->n--;
    return true;
}

hostname_result_t hostname_parse(str_t authority, str_t domain, hostname_t *out)
{
    assert(domain.n != 0 && domain.p[domain.n - 1] != '.');
    str_t host = authority;
    bool port_sound = true;
    /* A name has no colon, so the first one begins the port. This cuts an IPv6 literal inside its
     * brackets, which is not one of our names either. */
    const char *colon = authority.n != 0 ? memchr(authority.p, ':', authority.n) : NULL;
    if (colon != NULL) {
        uint64_t port;
        host.n = (size_t)(colon - authority.p);
        port_sound = str_to_uint(str_from_offset(authority, host.n + 1), UINT16_MAX, &port);
    }
    if (host.n != 0 && host.p[host.n - 1] == '.')
        host.n--;
    str_t label;
    if (!split_domain(host, domain, &label))
        return HOSTNAME_FOREIGN;
    return port_sound && hostname_parse_label(label, out) ? HOSTNAME_PREVIEW : HOSTNAME_MALFORMED;
}
