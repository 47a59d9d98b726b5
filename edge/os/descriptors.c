#include "descriptors.h"

#include <errno.h>
#include <sys/resource.h>

size_t descriptors_usable(size_t limit)
{
    size_t reserve = limit / 4 < DESCRIPTORS_RESERVE ? limit / 4 : DESCRIPTORS_RESERVE;
    return limit - reserve;
}

uint32_t descriptors_for_clients(size_t usable, uint32_t wanted)
{
    size_t most = usable - usable / 4;
    return wanted < most ? wanted : (uint32_t)most;
}

void descriptors_use_reserve(bool use)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = use ? limit.rlim_max : (rlim_t)descriptors_usable((size_t)limit.rlim_max);
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* within the hard limit: it cannot fail */
}

size_t descriptors_limit(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (size_t)limit.rlim_cur : 1024;
}

size_t descriptors_keep_reserve(void)
{
    descriptors_use_reserve(false);
    return descriptors_limit();
}

bool descriptors_ran_out(int error)
{
    return error == EMFILE || error == ENFILE;
}
