/*
 * The authority of a request: host[:port] (RFC 9110 section 7.2, RFC 3986 section 3.2) as it comes in Host,
 * :authority or an absolute target.
 */
#ifndef BOXEDGE_AUTHORITY_H
#define BOXEDGE_AUTHORITY_H

#include "str.h"

/* A host name has at most 255 bytes; ":65535" follows. */
#define AUTHORITY_MAX 261

typedef struct authority {
    str_t host;    /* with the brackets of an IPv6 address */
    uint16_t port; /* 0: none was given */
} authority_t;

/*
 * Splits and checks. The host is an IPv6 address in brackets or 1-255 letters, digits, '-', '.', '_', '~':
 * narrower than RFC 3986, whose other characters (percent-encoding, commas, user information) no reachable
 * host name has and other readers take in other ways. The port is empty or 1-65535 in at most 5 digits.
 * False where it is none of these, or empty.
 */
MUST_USE bool authority_parse(str_t text, authority_t *out);
/* True where both are the same host, without case, and the same port, `default_port` where none is given. */
bool authority_same(const authority_t *a, const authority_t *b, uint16_t default_port);

/* The part of an authority, or of any text in its place, that may be said: without user and password (RFC
 * 3986 section 3.2.1), which are secrets, and without what follows it in a URL. Empty where they cannot be
 * told apart. */
str_t authority_harmless(str_t text);

#endif
