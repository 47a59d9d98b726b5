#include "start_limits.h"

#include <stdio.h>
#include <sys/resource.h>

static const conf_place_t nowhere = {0, 0};

/* The largest file that this process may write; RLIM_INFINITY: any. */
static rlim_t largest_file(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

bool start_limits_files(char *error, size_t len)
{
    rlim_t most = largest_file();
    if (most == RLIM_INFINITY || most >= START_FILE_BYTES)
        return true;
    snprintf(error, len,
             "this process may write files of at most %llu bytes, which is too little for the store; "
             "allowed: %u and more (ulimit -f unlimited, LimitFSIZE=infinity)",
             (unsigned long long)most, (unsigned)START_FILE_BYTES);
    return false;
}

void start_limits(const conf_t *conf, size_t descriptors, conf_errors_t *errors)
{
    size_t needed = START_DESCRIPTORS + conf->workers * (conf->listener_count + 2);
    rlim_t most = largest_file();
    if (most != RLIM_INFINITY && most >= START_FILE_BYTES && most < conf->store_map_bytes)
        conf_errors_add(errors, CONF_WARNING, conf->source, nowhere, "store.map_size",
                        "this process may write files of at most %llu bytes: the edge ends when the store "
                        "grows over that (ulimit -f unlimited, LimitFSIZE=infinity)",
                        (unsigned long long)most);
    if (descriptors < needed)
        conf_errors_add(errors, CONF_ERROR, conf->source, nowhere, "limits.connections",
                        "this process may have %zu descriptors, which is too little for any connection; "
                        "allowed: %zu and more (ulimit -n, LimitNOFILE)",
                        descriptors, needed);
}
