/*
 * Base64 (RFC 4648), read strictly: each value has exactly one accepted spelling.
 */
#ifndef BOXEDGE_BASE64_H
#define BOXEDGE_BASE64_H

#include "str.h"

/* Characters of base64url for 256 bits, without padding. */
#define BASE64URL_256_LEN 43

/* Writes 32 bytes as base64url (RFC 4648 section 5) without padding, and a NUL. */
void base64url_256(const uint8_t bytes[32], char out[BASE64URL_256_LEN + 1]);

/* Returns the value of a character of the alphabet of RFC 4648 section 4, or -1. */
int base64_digit(char c);
/*
 * Decodes RFC 4648 section 4: whole groups, padding only at the end, unused bits zero, no other
 * characters. Empty text is an error. `out` has at least text.n bytes. Returns false on malformed
 * text; `out` may then hold a part.
 */
MUST_USE bool base64_decode(str_t text, char *out, size_t *len);

#endif
