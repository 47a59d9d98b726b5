/*
 * The texts of a preview besides its name: a label for people, and origins whose pages may use a visitor's
 * session. Only text that is harmless in terminals, pages and a Content-Security-Policy is valid.
 */
#ifndef BOXEDGE_PREVIEW_TEXT_H
#define BOXEDGE_PREVIEW_TEXT_H

#include "store.h"

/* Whether `text` is a valid label: at most STORE_LABEL_MAX bytes of UTF-8 without control characters, line
 * separators and marks that change the direction of text. It may be empty. */
MUST_USE bool preview_label_valid(str_t text);

/*
 * Adds an origin to the list of store_preview_t.allow_origins, in the form of browsers (RFC 6454 section
 * 6.1): "http" or "https", host, and the port unless it is the scheme's own; lower case. An origin in the
 * list is not added again. False, with nothing changed, if `text` is not an origin or does not fit.
 */
MUST_USE bool preview_origins_add(char list[STORE_ORIGINS_MAX + 1], str_t text);

#endif
