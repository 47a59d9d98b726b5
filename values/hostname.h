/*
 * The host name of a preview: "<id>-<port>.<preview domain>" (docs/design.md, "The host name").
 */
#ifndef BOXEDGE_HOSTNAME_H
#define BOXEDGE_HOSTNAME_H

#include "box_id.h"
#include "str.h"

#define PREVIEW_LABEL_MAX 63

typedef enum hostname_result {
    HOSTNAME_PREVIEW,   /* a well-formed preview name */
    HOSTNAME_MALFORMED, /* under the preview domain, but malformed */
    HOSTNAME_FOREIGN,   /* not under the preview domain */
} hostname_result_t;

typedef struct hostname {
    char id[BOX_ID_MAX + 1]; /* lower case, NUL-terminated */
    uint8_t id_len;
    uint16_t port;
} hostname_t;

/* `authority` is host[:port], any case, optional trailing dot; `domain` is lower case without one. */
MUST_USE hostname_result_t hostname_parse(str_t authority, str_t domain, hostname_t *out);
/* Parses "<id>-<port>" in any case, the first label of a preview's host name. Returns false if
 * malformed. */
MUST_USE bool hostname_parse_label(str_t label, hostname_t *out);
/* Returns whether "<id>-<port>" is at most 63 characters. */
bool preview_label_fits(str_t id, uint16_t port);

#endif
