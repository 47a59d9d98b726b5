/*
 * Declares picohttpparser's function that libh2o exports without a header. It only splits lines: it
 * accepts a bare LF as a line end and obs-fold, so callers must check for both.
 */
#ifndef BOXEDGE_PICOHTTPPARSER_DECL_H
#define BOXEDGE_PICOHTTPPARSER_DECL_H

#include <stddef.h>

struct phr_header {
    const char *name; /* NULL: the line continues the one before (obs-fold) */
    size_t name_len;
    const char *value; /* without leading white space; trailing white space is part of it */
    size_t value_len;  /* the byte after it is CR or LF */
};

/*
 * Reads field lines up to and including the empty line. `last_len` is the number of bytes that an
 * earlier call found incomplete. If it is not 0, the function first searches for the end (two line
 * ends in a row) from that position.
 *
 * Returns the length including the empty line; -2 if incomplete; -1 if malformed or longer than
 * *num_headers lines, which is then unchanged. On input *num_headers is the capacity of `headers`,
 * on return the number of lines.
 */
int phr_parse_headers(const char *buf, size_t len, struct phr_header *headers, size_t *num_headers,
                      size_t last_len);

#endif
