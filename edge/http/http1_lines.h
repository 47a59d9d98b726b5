/*
 * The field lines of an HTTP/1 head or trailer section (RFC 9112 section 5), cut by picohttpparser and
 * checked here. Every line ends with CR LF, no line is folded, names are tokens directly before their colon,
 * values hold no controls but HTAB.
 */
#ifndef BOXEDGE_HTTP1_LINES_H
#define BOXEDGE_HTTP1_LINES_H

#include "arena.h"
#include "field.h"
#include "picohttpparser_decl.h"

/* Sections of up to this many lines need no memory but the caller's stack. */
#define HTTP1_LINES_FEW 40

typedef enum http1_lines_result {
    HTTP1_LINES_OK,
    HTTP1_LINES_INCOMPLETE,
    HTTP1_LINES_BAD,
    HTTP1_LINES_TOO_MANY,
} http1_lines_result_t;

typedef struct http1_lines {
    struct phr_header *at; /* `few`, or in the pool */
    size_t count;
    struct phr_header few[HTTP1_LINES_FEW];
} http1_lines_t;

/*
 * Cuts the section at the start of `text`, which ends with an empty line, into at most `max_fields` lines.
 * The first `last_len` bytes were seen before and found incomplete. On HTTP1_LINES_OK *len is the section's
 * length with the empty line.
 */
MUST_USE http1_lines_result_t http1_lines_cut(str_t text, size_t last_len, uint32_t max_fields, arena_t *pool,
                                              http1_lines_t *lines, size_t *len);
/* Checks one line of the cut and fills `field` with slices of it. */
MUST_USE bool http1_lines_field(const struct phr_header *line, field_t *field);

/* The same two for a section whose lines all end with LF alone, which a recipient may accept (RFC 9112
 * section 2.2). A mixture is bad. */
MUST_USE http1_lines_result_t http1_lines_cut_bare(str_t text, size_t last_len, uint32_t max_fields,
                                                   arena_t *pool, http1_lines_t *lines, size_t *len);
MUST_USE bool http1_lines_field_bare(const struct phr_header *line, field_t *field);

#endif
