/*
 * Lets another program (limit_model.py) use a table of limits: one command a line on standard input, one
 * answer a line on standard output.
 *
 *   new CELLS                                          an empty table; all tickets are forgotten
 *   take TICKET WORKER ID INTERVAL BURST IN_FLIGHT COST NOW     answers: RESULT REMAINING RESET_MS RETRY_MS
 *   release TICKET WORKER                              answers: ok
 *   wipe WORKER                                        answers: ok; the worker's tickets must not be used
 * again has ID                                             answers: 0 or 1
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "limit_fixture.h"

#define TICKETS 256

typedef struct driver {
    limit_t *limit;
    uint32_t cells;
    limit_ticket_t tickets[TICKETS];
} driver_t;

static void renew(driver_t *driver, uint32_t cells)
{
    if (driver->limit != NULL)
        limit_fixture_table_free(driver->limit, driver->cells);
    *driver = (driver_t){.limit = limit_fixture_table_new(cells), .cells = cells};
}

static bool do_take(driver_t *driver, const char *line)
{
    unsigned ticket, worker;
    uint64_t n, now;
    uint32_t cost;
    limit_plan_t plan;
    limit_state_t state;
    if (sscanf(line, "take %u %u %" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu64,
               &ticket, &worker, &n, &plan.interval_ns, &plan.burst, &plan.in_flight, &cost, &now) != 8 ||
        ticket >= TICKETS)
        return false;
    limit_id_t id = id_of(n);
    limit_result_t result =
        limit_take(driver->limit, worker, &id, &plan, cost, now, &state, &driver->tickets[ticket]);
    printf("%d %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", (int)result, state.remaining, state.reset_ms,
           state.retry_ms);
    return true;
}

static bool do_line(driver_t *driver, const char *line)
{
    unsigned a, b;
    uint64_t n;
    if (sscanf(line, "new %u", &a) == 1) {
        renew(driver, a);
        puts("ok");
    } else if (sscanf(line, "release %u %u", &a, &b) == 2 && a < TICKETS) {
        limit_release(driver->limit, b, &driver->tickets[a]);
        puts("ok");
    } else if (sscanf(line, "wipe %u", &a) == 1) {
        limit_worker_wipe(driver->limit, a);
        puts("ok");
    } else if (sscanf(line, "has %" SCNu64, &n) == 1) {
        puts(has(driver->limit, n) ? "1" : "0");
    } else {
        return do_take(driver, line);
    }
    return true;
}

int main(void)
{
    driver_t driver = {0};
    char line[256];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (!do_line(&driver, line)) {
            (void)fprintf(stderr, "limit_driver: not understood: %s", line);
            return 2;
        }
        (void)fflush(stdout);
    }
    if (driver.limit != NULL)
        limit_fixture_table_free(driver.limit, driver.cells);
    return 0;
}
