/*
 * The function of picohttpparser that libh2o exports and the edge uses; its header is not installed. It only
 * cuts lines into pieces: bare LF as a line end and obs-fold pass, so its callers check.
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
 * Reads field lines up to and with the empty line. `last_len` is how many of the `len` bytes an earlier call
 * saw and found incomplete; where it is not 0, the end (two line ends in a row) is searched from there on
 * first. Returns the length with the empty line, -1 where it is malformed or has more lines than
 * *num_headers (which is then unchanged), -2 where it is incomplete. *num_headers is the capacity of
 * `headers` and becomes the number of lines.
 */
int phr_parse_headers(const char *buf, size_t len, struct phr_header *headers, size_t *num_headers,
                      size_t last_len);

#endif
