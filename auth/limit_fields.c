#include "limit_fields.h"

#include <assert.h>
#include <stdio.h>

/* Numbers of structured fields have 15 digits (RFC 9651 section 3.3.1). */
#define NUMBER_MAX UINT64_C(999999999999999)

static unsigned long long up(uint64_t n, uint64_t unit)
{
    return n / unit + (n % unit != 0);
}

static void write_number(char out[24], unsigned long long n)
{
    (void)snprintf(out, 24, "%llu", n);
}

bool limit_fields_write(limit_fields_t *out, str_t name, const limit_plan_t *plan, const limit_state_t *state)
{
    if (plan->interval_ns == 0)
        return false;
    assert(plan->burst > 0);
    bool is_long = plan->interval_ns > UINT64_MAX / plan->burst;
    unsigned long long window = is_long ? NUMBER_MAX : up(plan->interval_ns * plan->burst, 1000000000);
    unsigned long long left = state->remaining < plan->burst ? state->remaining : plan->burst;
    unsigned long long reset = up(state->reset_ms, 1000);
    reset = reset < NUMBER_MAX ? reset : NUMBER_MAX;
    int n = snprintf(out->policy, sizeof(out->policy), "\"%.*s\";q=%u;w=%llu", STR_ARG(name), plan->burst,
                     window);
    int m = snprintf(out->limit, sizeof(out->limit), "\"%.*s\";r=%llu;t=%llu", STR_ARG(name), left, reset);
    assert(n > 0 && n < LIMIT_FIELD_MAX && m > 0 && m < LIMIT_FIELD_MAX);
    write_number(out->x_limit, plan->burst);
    write_number(out->x_remaining, left);
    write_number(out->x_reset, reset);
    return true;
}

uint32_t limit_retry_after(const limit_state_t *state)
{
    uint64_t seconds = up(state->retry_ms, 1000);
    return seconds == 0 ? 1 : seconds > 86400 * 366 ? 86400 * 366 : (uint32_t)seconds;
}
