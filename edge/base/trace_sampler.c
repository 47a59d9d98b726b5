#include "trace_sampler.h"

#include "traceparent.h"

#define MILLION 1000000u

bool trace_sampler_takes(trace_sampler_t *sampler, str_t inbound, uint32_t rate, uint32_t per_second,
                         uint32_t random, uint64_t now_ms)
{
    bool by_client = inbound.n != 0;
    uint64_t second = now_ms / 1000;
    bool wanted =
        by_client ? traceparent_sampled(inbound) : (uint64_t)random * MILLION >> 32 < (uint64_t)rate;
    if (!wanted)
        return false;
    if (sampler->second[by_client] != second) {
        sampler->second[by_client] = second;
        sampler->taken[by_client] = 0;
    }
    if (sampler->taken[by_client] >= per_second) {
        sampler->over++;
        return false;
    }
    sampler->taken[by_client]++;
    return true;
}
