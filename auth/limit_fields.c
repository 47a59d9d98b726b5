#include "limit_fields.h"

#include <assert.h>

#include "decimal.h"

/* Numbers of structured fields have 15 digits (RFC 9651 section 3.3.1). */
#define NUMBER_MAX UINT64_C(999999999999999)

static uint64_t up(uint64_t n, uint64_t unit)
{
    return n / unit + (n % unit != 0);
}

/* Without snprintf, because each request to the API takes this path. */
static char *put_number(char *at, uint64_t n)
{
    at = decimal_put(at, n);
    *at = '\0';
    return at;
}

static char *put_text(char *at, str_t text)
{
    memcpy(at, text.p, text.n);
    return at + text.n;
}

/* "name";a=1;b=2 */
static void put_item(char *at, str_t name, str_t first, uint64_t a, str_t second, uint64_t b)
{
    *at++ = '"';
    at = put_text(at, name);
    *at++ = '"';
    at = put_number(put_text(at, first), a);
    (void)put_number(put_text(at, second), b);
}

bool limit_fields_write(limit_fields_t *out, str_t name, const limit_plan_t *plan, const limit_state_t *state)
{
    if (plan->interval_ns == 0)
        return false;
    assert(plan->burst > 0);
    bool is_long = plan->interval_ns > UINT64_MAX / plan->burst;
    uint64_t window = is_long ? NUMBER_MAX : up(plan->interval_ns * plan->burst, 1000000000);
    uint64_t left = state->remaining < plan->burst ? state->remaining : plan->burst;
    uint64_t reset = up(state->reset_ms, 1000);
    reset = reset < NUMBER_MAX ? reset : NUMBER_MAX;
    assert(name.n != 0 && name.n + 2 + 6 + 40 < LIMIT_FIELD_MAX);
    put_item(out->policy, name, STR(";q="), plan->burst, STR(";w="), window);
    put_item(out->limit, name, STR(";r="), left, STR(";t="), reset);
    (void)put_number(out->x_limit, plan->burst);
    (void)put_number(out->x_remaining, left);
    (void)put_number(out->x_reset, reset);
    return true;
}

uint32_t limit_retry_after(const limit_state_t *state)
{
    uint64_t seconds = up(state->retry_ms, 1000);
    return seconds == 0 ? 1 : seconds > 86400 * 366 ? 86400 * 366 : (uint32_t)seconds;
}
