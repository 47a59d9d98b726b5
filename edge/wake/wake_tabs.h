/*
 * Which requests pages make by themselves, and which of those wake a box (tabs.h; docs/design.md, "Waking").
 */
#ifndef BOXEDGE_WAKE_TABS_H
#define BOXEDGE_WAKE_TABS_H

#include "exchange.h"

/* The box of the exchange sleeps: whether the request may wake it. `goes_on`: others wake it already, which
 * costs nothing. */
MUST_USE bool wake_tabs_allow(exchange_t *ex, bool goes_on);
/* The exchange's request goes to its box. */
void wake_tabs_went(const exchange_t *ex);
/* A message of the client on the exchange's tunnel came by no period. */
void wake_tabs_typed(const exchange_t *ex);

#endif
