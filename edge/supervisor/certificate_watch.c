/*
 * See certificate_watch.h.
 */
#include "certificate_watch.h"

#include <errno.h>
#include <sys/stat.h>

#include "fnv.h"

static uint64_t put_time(uint64_t hash, const struct timespec *at)
{
    return fnv_number(fnv_number(hash, (uint64_t)at->tv_sec), (uint64_t)at->tv_nsec);
}

/* The file that the path leads to, through all links; its change time shows writes that keep size
 * and modification time. */
static uint64_t put_file(uint64_t hash, const char *path)
{
    struct stat st;
    if (path[0] == '\0')
        return fnv_number(hash, 0);
    if (stat(path, &st) != 0)
        return fnv_number(hash, (uint64_t)errno);
    hash = fnv_number(fnv_number(hash, st.st_dev), st.st_ino);
    hash = fnv_number(hash, (uint64_t)st.st_size);
    return put_time(put_time(hash, &st.st_mtim), &st.st_ctim);
}

uint64_t certificate_watch_signature(const conf_t *conf)
{
    uint64_t hash = FNV_START;
    for (size_t i = 0; i < conf->certificate_count; i++) {
        hash = put_file(hash, conf->certificates[i].chain_path);
        hash = put_file(hash, conf->certificates[i].key_path);
    }
    for (size_t i = conf_worker_listeners(conf); i < conf->listener_count; i++) {
        hash = put_file(hash, conf->listeners[i].tls_certificate);
        hash = put_file(hash, conf->listeners[i].tls_key);
        hash = put_file(hash, conf->listeners[i].token_file);
    }
    for (size_t i = 0; i < conf->upstream_count; i++) {
        if (!conf->upstreams[i].tls)
            continue;
        hash = put_file(hash, conf->upstreams[i].tls_certificate);
        hash = put_file(hash, conf->upstreams[i].tls_key);
        hash = put_file(hash, conf->upstreams[i].tls_ca);
    }
    return fnv_end(hash);
}

bool certificate_watch_changed(certificate_watch_t *watch, const conf_t *conf, uint64_t used, uint64_t now_ms)
{
    if (now_ms < watch->due_ms)
        return false;
    watch->due_ms = now_ms + CERTIFICATE_WATCH_MS;
    uint64_t now = certificate_watch_signature(conf), before = watch->seen;
    watch->seen = now;
    if (now != before || now == used || now == watch->tried)
        return false;
    watch->tried = now;
    return true;
}
