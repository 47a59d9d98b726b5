#include "traceparent.h"

bool traceparent_valid(str_t value)
{
    if (value.n != TRACEPARENT_BYTES || memcmp(value.p, "00-", 3) != 0 || value.p[35] != '-' ||
        value.p[52] != '-')
        return false;
    bool trace = false, span = false;
    for (size_t i = 3; i < TRACEPARENT_BYTES; i++) {
        char c = value.p[i];
        if (i == 35 || i == 52)
            continue;
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        trace |= i < 35 && c != '0';
        span |= i > 35 && i < 52 && c != '0';
    }
    return trace && span;
}

bool traceparent_sampled(str_t value)
{
    char low = value.p[TRACEPARENT_BYTES - 1]; /* the low half of the flags */
    return ((low <= '9' ? low - '0' : low - 'a' + 10) & 1) != 0;
}
