/*
 * What a preview carries as text besides its name: a label for people, and origins whose pages may use a
 * visitor's session. Only text that can do no harm where it is shown (terminals, pages, a
 * Content-Security-Policy) is taken.
 */
#ifndef BOXEDGE_PREVIEW_TEXT_H
#define BOXEDGE_PREVIEW_TEXT_H

#include "store.h"

/* Whether `text` can be a label: at most STORE_LABEL_MAX bytes of UTF-8 without control characters, line
 * separators and marks that change the direction of text. It may be empty. */
MUST_USE bool preview_label_valid(str_t text);

/*
 * Adds an origin to the list of store_preview_t.allow_origins, written as browsers write it (RFC 6454 section
 * 6.1): "http" or "https", host, and the port where it is not the scheme's own; lower case. One that is there
 * already is not added again. False, with nothing changed, where `text` is no such origin or has no room.
 */
MUST_USE bool preview_origins_add(char list[STORE_ORIGINS_MAX + 1], str_t text);

#endif
