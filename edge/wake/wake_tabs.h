/*
 * Recognises requests that pages make by themselves, and decides which of them wake a box (tabs.h;
 * docs/internals/wake.md, "Forgotten tabs").
 */
#ifndef BOXEDGE_WAKE_TABS_H
#define BOXEDGE_WAKE_TABS_H

#include "exchange.h"

/* Whether the request may wake the exchange's sleeping box. `goes_on`: other requests wake it already, so
 * this one costs nothing. */
MUST_USE bool wake_tabs_allow(exchange_t *ex, bool goes_on);
/* The exchange's request goes to its box. */
void wake_tabs_went(const exchange_t *ex);
/* The client sent a message on the exchange's tunnel that followed no period. */
void wake_tabs_typed(const exchange_t *ex);

#endif
