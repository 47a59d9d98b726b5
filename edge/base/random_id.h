/*
 * Random text for request ids and trace ids from OpenSSL's generator. It is fetched in batches, so
 * that an id costs no call.
 */
#ifndef BOXEDGE_RANDOM_ID_H
#define BOXEDGE_RANDOM_ID_H

#include <stddef.h>

typedef struct random_source random_source_t;

random_source_t *random_source_new(void);
void random_source_free(random_source_t **source);
/* Writes n random bytes; n is at most 32. */
void random_bytes(random_source_t *source, unsigned char *out, size_t n);
/* Writes n lower-case hex digits (4 random bits each); n is even and at most 64. */
void random_hex(random_source_t *source, char *out, size_t n);

#endif
