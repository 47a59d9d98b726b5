/*
 * The authority of a request: host[:port] (RFC 9110 section 7.2, RFC 3986 section 3.2), from Host, :authority
 * or an absolute target.
 */
#ifndef BOXEDGE_AUTHORITY_H
#define BOXEDGE_AUTHORITY_H

#include "str.h"

/* A host name of at most 255 bytes, then ":65535". */
#define AUTHORITY_MAX 261

typedef struct authority {
    str_t host;    /* with the brackets of an IPv6 address */
    uint16_t port; /* 0: none was given */
} authority_t;

/*
 * Splits and checks. The host is an IPv6 address in brackets or 1-255 letters, digits, '-', '.', '_', '~'.
 * That is narrower than RFC 3986: no reachable host name has its other characters (percent-encoding, commas,
 * user information), and readers disagree about them. The port is empty or 1-65535 in at most 5 digits. False
 * for anything else, or an empty text.
 */
MUST_USE bool authority_parse(str_t text, authority_t *out);
/* Whether both have the same host, ignoring case, and the same port; a missing port is `default_port`. */
bool authority_same(const authority_t *a, const authority_t *b, uint16_t default_port);

/* The loggable part of an authority, or of any text in its place: without user and password (RFC 3986 section
 * 3.2.1), which are secrets, and without the rest of a URL. Empty if it cannot be separated from them. */
str_t authority_harmless(str_t text);

#endif
