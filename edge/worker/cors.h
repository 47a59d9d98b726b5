/*
 * Which pages of other origins may read the answers that the edge makes with the credentials of their visitor
 * (Fetch standard, CORS protocol; docs/http.md, "Pages of other origins"): those of origins that the preview
 * or api.cors lists by name.
 */
#ifndef BOXEDGE_CORS_H
#define BOXEDGE_CORS_H

#include "exchange.h"

/*
 * Hook (pipeline.h). Answers from before the preview is known are completed here: its list is looked up, at
 * most once an answer. A request whose Host or Origin is in doubt has no origin on a list.
 */
MUST_USE bool cors_lists_origin(exchange_t *ex, str_t origin);

#endif
