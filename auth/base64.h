/*
 * Base64 (RFC 4648), as strict as its writers: what decodes has exactly one spelling.
 */
#ifndef BOXEDGE_BASE64_H
#define BOXEDGE_BASE64_H

#include "str.h"

/* Characters of base64url for 256 bits, without padding. */
#define BASE64URL_256_LEN 43

/* Writes 32 bytes as base64url (section 5) without padding, and a NUL. */
void base64url_256(const uint8_t bytes[32], char out[BASE64URL_256_LEN + 1]);

/* The value of a character of the alphabet of section 4, or -1. */
int base64_digit(char c);
/*
 * Decodes section 4: whole groups, padding at the end and only there, unused bits zero, nothing else; empty
 * text does not count. `out` has at least text.n bytes. False where it is not that; `out` may hold a part
 * then.
 */
MUST_USE bool base64_decode(str_t text, char *out, size_t *len);

#endif
