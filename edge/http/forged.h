/*
 * Names of request fields that apps believe although any client can send them: the client's address, the
 * requested address. Only the edge, or a proxy that it trusts, may set them (docs/http.md, "Forwarding").
 */
#ifndef BOXEDGE_FORGED_H
#define BOXEDGE_FORGED_H

#include <stdbool.h>

#include "str.h"

/*
 * Whether a field of that name is kept from boxes. '_' counts as '-', as CGI-like apps read names. `trusted`:
 * the field comes from a trusted proxy, which may set all but the client's address, except in fields that the
 * edge sets itself.
 */
MUST_USE bool forged_name(str_t name, bool trusted);

#endif
