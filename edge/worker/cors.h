/*
 * Decides which pages of other origins may read the edge's own answers with credentials: those of origins
 * that the preview or api.cors lists by name (Fetch standard, CORS protocol; docs/http.md, "Pages of other
 * origins").
 */
#ifndef BOXEDGE_CORS_H
#define BOXEDGE_CORS_H

#include "exchange.h"

/*
 * Hook (pipeline.h). Looks the preview up, at most once per answer, if the exchange has none yet. A request
 * with an ambiguous Host or Origin has no listed origin.
 */
MUST_USE bool cors_lists_origin(exchange_t *ex, str_t origin);

#endif
