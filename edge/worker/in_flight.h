/*
 * The requests in flight, as the last words of a worker that crashes name them (crash.h).
 */
#ifndef BOXEDGE_IN_FLIGHT_H
#define BOXEDGE_IN_FLIGHT_H

/* A crash_detail_t; `context` is the worker's (context_t). Writes at most IN_FLIGHT_MAX request ids, and the
 * number of the others. */
#define IN_FLIGHT_MAX 48
void in_flight_write(void *context);

#endif
