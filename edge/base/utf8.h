/*
 * UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef BOXEDGE_UTF8_H
#define BOXEDGE_UTF8_H

#include "str.h"

/* Returns the length (1-4) of the well-formed sequence at the start of `s`, which must not be
 * empty; 0 if malformed. */
size_t utf8_sequence(str_t s);
/* Returns whether all of `s` is well-formed. */
bool utf8_valid(str_t s);

#endif
