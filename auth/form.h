/*
 * The values of a submitted form (application/x-www-form-urlencoded, WHATWG URL section 5.1).
 */
#ifndef BOXEDGE_FORM_H
#define BOXEDGE_FORM_H

#include "str.h"

/*
 * Decodes the first value named `name` ('+' is a space, %XX a byte) into `out`. Returns false if
 * the name is absent, two hex digits do not follow a '%', or the value exceeds `cap` bytes.
 */
MUST_USE bool form_value(str_t body, str_t name, char *out, size_t cap, size_t *len);

#endif
