/*
 * The client's address in the fields by which proxies name it: X-Forwarded-For, Forwarded (RFC 7239),
 * X-Real-IP, CF-Connecting-IP.
 */
#ifndef BOXEDGE_REMOTE_FIELD_H
#define BOXEDGE_REMOTE_FIELD_H

#include "conf.h"
#include "field.h"

/* Maximum elements of a list to check, from its right end. */
#define REMOTE_HOPS_MAX 32

/*
 * The client that a proxy names in `field`. In a list, it is the rightmost address that does not belong to a
 * trusted proxy (all lines of the field form one list). False: the field is missing, is repeated although it
 * is no list, has an element that is no address, or names only proxies.
 */
MUST_USE bool remote_field_read(const conf_t *conf, conf_client_field_t field, const fields_t *fields,
                                struct in6_addr *client);

/* Accepts only "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]" and "[2001:db8::1]:80". */
MUST_USE bool remote_address_read(str_t text, struct in6_addr *address);

#endif
