/*
 * Hooks (pipeline.h): each request of a client has a record in the shared segment while it is in flight
 * (flights.h).
 */
#ifndef BOXEDGE_FLIGHT_H
#define BOXEDGE_FLIGHT_H

#include "exchange.h"

void flight_begin(exchange_t *ex);
void flight_end(exchange_t *ex);

#endif
