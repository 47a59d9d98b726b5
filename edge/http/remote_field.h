/*
 * The client's address in the fields in which proxies name it: X-Forwarded-For, Forwarded (RFC 7239),
 * X-Real-IP, CF-Connecting-IP.
 */
#ifndef BOXEDGE_REMOTE_FIELD_H
#define BOXEDGE_REMOTE_FIELD_H

#include "conf.h"
#include "field.h"

/* Elements of a list that are looked at from its right end. */
#define REMOTE_HOPS_MAX 32

/*
 * The client that a proxy names in `field`: of a list, its rightmost address that is not of a trusted proxy
 * (all lines of the field are one list). False: the field is missing, is given twice where it is no list, its
 * element is no address, or all that it names are proxies.
 */
MUST_USE bool remote_field_read(const conf_t *conf, conf_client_field_t field, const fields_t *fields,
                                struct in6_addr *client);

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80"; nothing else. */
MUST_USE bool remote_address_read(str_t text, struct in6_addr *address);

#endif
