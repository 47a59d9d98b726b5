/*
 * Names of request fields that apps believe although any client can send them: where the client is, which
 * address it asked for. Only the edge, or a proxy that it trusts, may say such things (docs/http.md,
 * "Forwarding").
 */
#ifndef BOXEDGE_FORGED_H
#define BOXEDGE_FORGED_H

#include <stdbool.h>

#include "str.h"

/*
 * Whether a field of that name is kept from boxes. '_' counts as '-', as CGI-like apps read names. `trusted`:
 * it comes from a trusted proxy, which may say all but the client's address in a field that the edge does not
 * set itself.
 */
MUST_USE bool forged_name(str_t name, bool trusted);

#endif
