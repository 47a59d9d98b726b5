#include "remote_field.h"

#include <arpa/inet.h>
#include <string.h>

#include "address.h"

/* The result of reading one line of a list from its right end. */
typedef enum list_result { LIST_FOUND, LIST_BAD, LIST_GO_ON } list_result_t;

/* ---- one address ---- */

static bool read_number(int family, str_t text, void *out)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.n == 0 || text.n >= sizeof(copy) || memchr(text.p, '\0', text.n) != NULL)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    return inet_pton(family, copy, out) == 1;
}

static bool read_v4(str_t text, struct in6_addr *address)
{
    struct in_addr v4;
    if (!read_number(AF_INET, text, &v4))
        return false;
    *address = address_from_v4(&v4);
    return true;
}

static bool is_port(str_t text)
{
    uint64_t port;
    return str_to_uint(text, 65535, &port);
}

/* "[2001:db8::1]", with or without a port. */
static bool read_bracketed(str_t text, struct in6_addr *address)
{
    const char *end = memchr(text.p, ']', text.n);
    if (end == NULL)
        return false;
    size_t used = (size_t)(end - text.p) + 1;
    str_t rest = str_from_offset(text, used);
    if (rest.n != 0 && (rest.p[0] != ':' || !is_port(str_from_offset(rest, 1))))
        return false;
    return read_number(AF_INET6, str_make(text.p + 1, used - 2), address);
}

bool remote_address_read(str_t text, struct in6_addr *address)
{
    if (text.n == 0)
        return false;
    if (text.p[0] == '[')
        return read_bracketed(text, address);
    const char *colon = memchr(text.p, ':', text.n);
    if (colon == NULL)
        return read_v4(text, address);
    size_t host = (size_t)(colon - text.p);
    str_t rest = str_from_offset(text, host + 1);
    if (memchr(rest.p, ':', rest.n) != NULL)
        return read_number(AF_INET6, text, address);
    return is_port(rest) && read_v4(str_make(text.p, host), address);
}

/* ---- one element ---- */

/*
 * Cuts off the last element of a comma-separated list. With `quotes`, a comma between two '"' separates
 * nothing. Reading from the right keeps the client's part from changing the meaning of the proxy's part.
 */
static str_t last_element(str_t *rest, bool quotes)
{
    bool quoted = false;
    size_t at = rest->n;
    for (; at != 0; at--) {
        char c = rest->p[at - 1];
        if (quotes && c == '"')
            quoted = !quoted;
        else if (c == ',' && !quoted)
            break;
    }
    str_t element = str_trim(str_from_offset(*rest, at));
    rest->n = at != 0 ? at - 1 : 0;
    return element;
}

/* The value of for="[2001:db8::1]:80" in an element of Forwarded; empty if it has none or several. */
static str_t for_of(str_t element)
{
    str_t found = {NULL, 0};
    while (element.n != 0) {
        const char *semicolon = memchr(element.p, ';', element.n);
        size_t n = semicolon != NULL ? (size_t)(semicolon - element.p) : element.n;
        str_t pair = str_trim(str_make(element.p, n));
        element = str_from_offset(element, semicolon != NULL ? n + 1 : n);
        if (pair.n < 4 || !str_ieq(str_make(pair.p, 4), STR("for=")))
            continue;
        if (found.n != 0)
            return str_make(NULL, 0);
        found = str_from_offset(pair, 4);
    }
    if (found.n > 1 && found.p[0] == '"' && found.p[found.n - 1] == '"')
        found = str_make(found.p + 1, found.n - 2);
    return found;
}

/* ---- a field ---- */

static list_result_t read_line(const conf_t *conf, bool forwarded, str_t line, unsigned *hops,
                               struct in6_addr *client)
{
    while (line.n != 0) {
        str_t element = last_element(&line, forwarded);
        if (element.n == 0)
            continue; /* empty elements are ignored (RFC 9110 section 5.6.1.2) */
        struct in6_addr address;
        if (++*hops > REMOTE_HOPS_MAX ||
            !remote_address_read(forwarded ? for_of(element) : element, &address))
            return LIST_BAD;
        if (conf_trusted_proxy(conf, &address) == NULL) {
            *client = address;
            return LIST_FOUND;
        }
    }
    return LIST_GO_ON;
}

static bool read_list(const conf_t *conf, field_id_t id, const fields_t *fields, struct in6_addr *client)
{
    unsigned hops = 0;
    for (uint32_t i = fields->count; i-- != 0;) {
        if (fields->at[i].id != id)
            continue;
        list_result_t result = read_line(conf, id == FIELD_FORWARDED, fields->at[i].value, &hops, client);
        if (result != LIST_GO_ON)
            return result == LIST_FOUND;
    }
    return false;
}

bool remote_field_read(const conf_t *conf, conf_client_field_t field, const fields_t *fields,
                       struct in6_addr *client)
{
    static const field_id_t ids[] = {[CONF_CLIENT_X_FORWARDED_FOR] = FIELD_X_FORWARDED_FOR,
                                     [CONF_CLIENT_FORWARDED] = FIELD_FORWARDED,
                                     [CONF_CLIENT_X_REAL_IP] = FIELD_X_REAL_IP,
                                     [CONF_CLIENT_CF_CONNECTING_IP] = FIELD_CF_CONNECTING_IP};
    field_id_t id = ids[field];
    if (field == CONF_CLIENT_X_FORWARDED_FOR || field == CONF_CLIENT_FORWARDED)
        return read_list(conf, id, fields, client);
    return fields_count(fields, id) == 1 && remote_address_read(fields_value(fields, id), client);
}
