/*
 * The requests that a dead worker had in flight (flights.h): each leaves an access line with
 * `"end": "worker_died"`.
 */
#ifndef BOXEDGE_LOST_REQUESTS_H
#define BOXEDGE_LOST_REQUESTS_H

#include "flights.h"
#include "supervisor_internal.h"

/* Maximum bytes of one line. */
#define LOST_LINE_MAX 4096

/* Writes the line of a request that ended at `now_us` because of `cause`. Returns its length. */
size_t lost_request_line(char out[LOST_LINE_MAX], const flight_t *flight, const char *cause, uint64_t now_us);

/* Adds the requests of a dead worker to its measures, which outlive it: by their kind and protocol, without a
 * status, and by the code. Those without a record count by the code only. */
void lost_requests_count(measures_t *measures, const flight_table_t *table);

/*
 * Counts the requests of the dead worker `child`, which waitpid gave `status`. Writes their lines to the
 * access log, and their number to the edge's own log. A child process writes the lines, because a reader may
 * stall. It ends within LOST_WRITE_S. At the edge's end, waits for it for at most a second.
 */
#define LOST_WRITE_S 5
void lost_requests_bury(const supervisor_t *s, const child_slot_t *child, int status);

#endif
