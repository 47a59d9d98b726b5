/* Whole numbers as text. Each request writes a dozen of them, so two digits are written at a time. */
#ifndef BOXEDGE_DECIMAL_H
#define BOXEDGE_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

/* Maximum digits of a number. */
#define DECIMAL_MAX 20

/* The number of digits. */
size_t decimal_length(uint64_t n);
/* Writes the digits of `n` so that they end before `end`. Returns the first one. */
char *decimal_before(char *end, uint64_t n);
/* Writes the digits of `n` from `at`. Returns the position after them. */
char *decimal_put(char *at, uint64_t n);

#endif
