/*
 * See snapshot.h.
 */
#include "snapshot.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certificate_check.h"
#include "certificate_watch.h"
#include "conf_errors.h"
#include "local_ca.h"
#include "origin_tls.h"
#include "own_paths.h"
#include "process.h"
#include "system_authorities.h"
#include "whole_file.h"

_Static_assert(CONF_WORKERS_MAX <= SHM_WORKERS_MAX, "each configured worker has a place");

/* The position of errors about the file as a whole. */
static const conf_place_t nowhere = {0, 0};

static bool load_conf(snapshot_t *snapshot, const char *path, FILE *out)
{
    size_t len = 0;
    char *text = whole_file_read(path, &len);
    if (text == NULL) {
        fprintf(out, "%s: cannot be read: %s\n", path, strerror(errno));
        return false;
    }
    conf_errors_t *errors = conf_errors_new();
    snapshot->conf = conf_parse(path, str_make(text, len), errors);
    if (snapshot->conf != NULL) {
        conf_check_files(snapshot->conf, errors);
        conf_check_places(snapshot->conf, errors);
        own_paths_check(snapshot->conf, errors);
    }
    bool ok = snapshot->conf != NULL && conf_errors_count(errors) == 0;
    conf_errors_print(errors, out);
    conf_errors_free(&errors);
    if (ok && (snapshot->conf_fd = process_conf_write(path, str_make(text, len))) < 0) {
        fprintf(out, "%s: cannot be kept in memory: %s\n", path, strerror(errno));
        ok = false;
    }
    free(text);
    return ok;
}

static size_t differs(const char *key, const char *now, const char *next, FILE *out)
{
    if (strcmp(now, next) == 0)
        return 0;
    fprintf(out, "%s: cannot change from \"%s\" to \"%s\" while the edge runs; restart it for that\n", key,
            now, next);
    return 1;
}

/* Writes a line for every changed key that cannot change in place; returns their number. */
static size_t fixed_differences(const conf_t *now, const conf_t *next, FILE *out)
{
    size_t count = differs("run_dir", now->run_dir, next->run_dir, out) +
                   differs("state_dir", now->state_dir, next->state_dir, out) +
                   differs("user", now->user, next->user, out) +
                   differs("admin.socket", now->admin_socket, next->admin_socket, out);
    if (now->store_map_bytes != next->store_map_bytes) {
        fprintf(out, "store.map_size: cannot change while the edge runs; restart it for that\n");
        count++;
    }
    return count;
}

static bool make_dirs(const conf_t *conf, const privileges_t *privileges, FILE *out)
{
    char error[PATH_MAX + 256] = "", durable[PATH_MAX], fleeting[PATH_MAX];
    if (!process_store_dirs(conf, durable, fleeting, PATH_MAX)) {
        fprintf(out, "state_dir or run_dir is too long a path\n");
        return false;
    }
    bool ok = privileges_make_dir(conf->state_dir, 0755, false, privileges, error, sizeof(error)) &&
              privileges_make_dir(conf->run_dir, 0755, false, privileges, error, sizeof(error)) &&
              privileges_make_dir(durable, 0700, true, privileges, error, sizeof(error)) &&
              privileges_make_dir(fleeting, 0700, true, privileges, error, sizeof(error));
    if (!ok)
        fprintf(out, "%s\n", error);
    return ok;
}

/* The directory for the secrets of declared previews. */
static bool make_previews_dir(const conf_t *conf, const privileges_t *privileges, FILE *out)
{
    char error[PATH_MAX + 256] = "", path[PATH_MAX];
    bool declared = false;
    for (size_t i = 0; i < conf->process_count; i++)
        declared |= conf->processes[i].preview_count != 0;
    bool ok = !declared || (process_previews_dir(conf, path, sizeof(path)) &&
                            privileges_make_dir(path, 0700, true, privileges, error, sizeof(error)));
    if (!ok)
        fprintf(out, "%s\n", error[0] != '\0' ? error : "state_dir is too long a path");
    return ok;
}

static bool has_tls(const conf_t *conf)
{
    for (size_t i = 0; i < conf->listener_count; i++)
        if (conf->listeners[i].kind == CONF_LISTENER_TLS)
            return true;
    return false;
}

/* Returns a file's text; "" for an empty path; NULL with a line in `out`. */
static char *read_named(const char *path, FILE *out)
{
    size_t len;
    char *text = path[0] != '\0' ? whole_file_read(path, &len) : strdup("");
    if (text == NULL)
        fprintf(out, "%s: cannot be read: %s\n", path, strerror(errno));
    return text;
}

static bool read_pem(tls_pem_t *pem, const char *chain, const char *key, FILE *out)
{
    return (pem->chain = read_named(chain, out)) != NULL && (pem->key = read_named(key, out)) != NULL;
}

/* Reads the authorities of an upstream. `system` has the system's, once an upstream needed them. */
static char *read_authorities(const conf_upstream_t *from, const char **system, FILE *out)
{
    if (!from->tls || from->tls_ca[0] != '\0')
        return read_named(from->tls ? from->tls_ca : "", out);
    char *text = *system != NULL ? strdup(*system) : system_authorities_read();
    if (text == NULL)
        fprintf(out, "the system's authorities cannot be read: out of memory\n");
    *system = text;
    return text;
}

static bool read_certificates(snapshot_t *snapshot, FILE *out)
{
    const conf_t *conf = snapshot->conf;
    snapshot->pems = calloc(conf->certificate_count + 1, sizeof(*snapshot->pems));
    if (snapshot->pems == NULL)
        return false;
    for (size_t i = 0; i < conf->certificate_count; i++) {
        const conf_certificate_t *from = &conf->certificates[i];
        tls_pem_t *pem = &snapshot->pems[snapshot->pem_count++];
        if (!read_pem(pem, from->chain_path, from->key_path, out))
            return false;
    }
    return true;
}

/* Reads the files of upstreams and tries them as the workers will. */
static bool load_origins(snapshot_t *snapshot, char *error, size_t error_len, FILE *out)
{
    const conf_t *conf = snapshot->conf;
    const char *system = NULL;
    snapshot->origin_pems = calloc(conf->upstream_count + 1, sizeof(*snapshot->origin_pems));
    if (snapshot->origin_pems == NULL)
        return false;
    for (size_t i = 0; i < conf->upstream_count; i++) {
        const conf_upstream_t *from = &conf->upstreams[i];
        tls_pem_t *pem = &snapshot->origin_pems[snapshot->origin_pem_count++];
        if (!read_pem(pem, from->tls ? from->tls_certificate : "", from->tls ? from->tls_key : "", out) ||
            (pem->authorities = read_authorities(from, &system, out)) == NULL)
            return false;
    }
    origin_tls_t *tls = origin_tls_new(conf, snapshot->origin_pems, NULL, error, error_len);
    bool good = tls != NULL;
    origin_tls_release(&tls);
    return good;
}

/* Finds certificates that the workers could not use. A certificate outside its validity is used:
 * the other names are served, and a restart must not fail because of it. */
static bool try_certificates(const snapshot_t *snapshot, uint64_t now_unix, FILE *out)
{
    const tls_ticket_keys_t keys = {.count = 1};
    char error[512] = "";
    conf_errors_t *errors = conf_errors_new();
    certificate_check(snapshot->conf, snapshot->pems, now_unix, errors);
    conf_errors_print(errors, out);
    bool good = conf_errors_count(errors) == 0;
    conf_errors_free(&errors);
    tls_t *tls = good ? tls_new(snapshot->pems, snapshot->pem_count, &keys, error, sizeof(error)) : NULL;
    if (good && tls == NULL)
        fprintf(out, "%s\n", error);
    good = tls != NULL;
    tls_free(&tls);
    return good;
}

/* Collects the host names beside the previews that the local authority's leaf covers; returns their
 * number. */
static size_t local_hosts(const conf_t *conf, str_t hosts[LOCAL_CA_EXTRA_MAX])
{
    assert(conf->api.host_count <= LOCAL_CA_EXTRA_MAX);
    for (size_t i = 0; i < conf->api.host_count; i++)
        hosts[i] = str_from(conf->api.hosts[i]);
    return conf->api.host_count;
}

/* Without certificates: the machine's own authority and its leaf. */
static bool local_certificate(snapshot_t *snapshot, uint64_t now_unix, FILE *out)
{
    const conf_t *conf = snapshot->conf;
    char error[512] = "";
    str_t hosts[LOCAL_CA_EXTRA_MAX];
    size_t host_count = local_hosts(conf, hosts);
    snapshot->pems = calloc(1, sizeof(*snapshot->pems));
    if (snapshot->pems == NULL)
        return false;
    if (!local_ca_ensure(conf->state_dir, conf->preview_domain, hosts, host_count, now_unix,
                         &snapshot->pems[0], error, sizeof(error))) {
        fprintf(out, "%s\n", error);
        return false;
    }
    snapshot->pem_count = 1;
    snapshot->local_authority = true;
    return true;
}

/* Tries the certificates of listeners of kind metrics, which the controller reads by itself. */
static bool try_metrics(const conf_t *conf, FILE *out)
{
    for (size_t i = conf_worker_listeners(conf); i < conf->listener_count; i++) {
        const conf_listener_t *listener = &conf->listeners[i];
        char error[512] = "";
        tls_pem_t pem = {0};
        bool good = listener->tls_certificate[0] == '\0';
        if (!good && read_pem(&pem, listener->tls_certificate, listener->tls_key, out))
            good = tls_pem_try(&pem, error, sizeof(error)) == TLS_PEM_GOOD;
        tls_pem_fini(&pem);
        if (error[0] != '\0')
            fprintf(out, "listener %s: %s\n", listener->text, error);
        if (!good)
            return false;
    }
    return true;
}

bool snapshot_load_keys(snapshot_t *snapshot, uint64_t now_unix, FILE *out)
{
    snapshot->files = certificate_watch_signature(snapshot->conf);
    if (has_tls(snapshot->conf)) {
        bool got = snapshot->conf->certificate_count > 0 ? read_certificates(snapshot, out)
                                                         : local_certificate(snapshot, now_unix, out);
        if (!got || !try_certificates(snapshot, now_unix, out))
            return false;
    }
    if (!try_metrics(snapshot->conf, out))
        return false;
    char error[512] = "";
    if (!load_origins(snapshot, error, sizeof(error), out)) {
        if (error[0] != '\0')
            fprintf(out, "%s\n", error);
        return false;
    }
    snapshot->pems_fd = process_pems_write(snapshot->pems, snapshot->pem_count);
    snapshot->origin_pems_fd = process_pems_write(snapshot->origin_pems, snapshot->origin_pem_count);
    bool kept = snapshot->pems_fd >= 0 && snapshot->origin_pems_fd >= 0;
    if (!kept)
        fprintf(out, "the certificates cannot be kept in memory: %s\n", strerror(errno));
    return kept;
}

/* Checks the local authority in state_dir, or that a start can make one. */
static void check_authority(const conf_t *conf, uint64_t now_unix, conf_errors_t *errors)
{
    char error[512] = "";
    str_t hosts[LOCAL_CA_EXTRA_MAX];
    size_t host_count = local_hosts(conf, hosts);
    if (!local_ca_look(conf->state_dir, conf->preview_domain, hosts, host_count, now_unix, error,
                       sizeof(error)))
        conf_errors_add(errors, CONF_ERROR, conf->source, nowhere, "state_dir", "%s", error);
}

/* Checks the certificates of the configuration. */
static void check_certificates(snapshot_t *snapshot, uint64_t now_unix, conf_errors_t *errors)
{
    const conf_t *conf = snapshot->conf;
    const tls_ticket_keys_t keys = {.count = 1};
    char error[512] = "";
    if (!read_certificates(snapshot, stderr))
        return;
    size_t before = conf_errors_count(errors);
    certificate_check(conf, snapshot->pems, now_unix, errors);
    if (conf_errors_count(errors) != before)
        return;
    tls_t *tls = tls_new(snapshot->pems, snapshot->pem_count, &keys, error, sizeof(error));
    if (tls == NULL)
        conf_errors_add(errors, CONF_ERROR, conf->source, nowhere, "certificates", "%s", error);
    tls_free(&tls);
}

void snapshot_check_keys(const conf_t *conf, bool here, uint64_t now_unix, conf_errors_t *errors)
{
    char error[512] = "";
    snapshot_t snapshot = {
        .conf = (conf_t *)(uintptr_t)conf, .conf_fd = -1, .pems_fd = -1, .origin_pems_fd = -1};
    if (has_tls(conf) && conf->certificate_count > 0)
        check_certificates(&snapshot, now_unix, errors);
    else if (has_tls(conf) && here)
        check_authority(conf, now_unix, errors);
    if (!try_metrics(conf, stderr))
        conf_errors_add(errors, CONF_ERROR, conf->source, nowhere, "listeners.tls_certificate",
                        "cannot be used with listeners.tls_key");
    if (!load_origins(&snapshot, error, sizeof(error), stderr) && error[0] != '\0')
        conf_errors_add(errors, CONF_ERROR, conf->source, nowhere, "upstreams", "%s", error);
    snapshot_forget_keys(&snapshot);
}

snapshot_t *snapshot_load(const char *path, const conf_t *running, FILE *out)
{
    char error[512] = "";
    snapshot_t *snapshot = calloc(1, sizeof(*snapshot));
    if (snapshot == NULL)
        return NULL;
    snapshot->conf_fd = snapshot->pems_fd = snapshot->origin_pems_fd = -1;
    bool ok = load_conf(snapshot, path, out) &&
              (running == NULL || fixed_differences(running, snapshot->conf, out) == 0);
    if (ok && !privileges_find(snapshot->conf->user, &snapshot->privileges, error, sizeof(error))) {
        fprintf(out, "%s: user: %s\n", path, error);
        ok = false;
    }
    ok = ok && make_dirs(snapshot->conf, &snapshot->privileges, out) &&
         make_previews_dir(snapshot->conf, &snapshot->privileges, out);
    if (!ok)
        snapshot_free(&snapshot);
    return snapshot;
}

snapshot_t *snapshot_reread(const snapshot_t *snapshot, uint64_t now_unix, FILE *out)
{
    snapshot_t *next = calloc(1, sizeof(*next));
    if (next == NULL)
        return NULL;
    next->privileges = snapshot->privileges;
    next->conf = conf_acquire(snapshot->conf);
    next->pems_fd = next->origin_pems_fd = -1;
    next->conf_fd = fcntl(snapshot->conf_fd, F_DUPFD_CLOEXEC, 3);
    if (next->conf_fd < 0 || !snapshot_load_keys(next, now_unix, out))
        snapshot_free(&next);
    return next;
}

snapshot_t *snapshot_renew(const snapshot_t *snapshot, uint64_t now_unix, FILE *out)
{
    if (!snapshot->local_authority)
        return NULL;
    snapshot_t *next = snapshot_reread(snapshot, now_unix, out);
    if (next != NULL && (next->pem_count == 0 || strcmp(next->pems[0].chain, snapshot->pems[0].chain) == 0))
        snapshot_free(&next);
    return next;
}

void snapshot_forget_keys(snapshot_t *snapshot)
{
    process_pems_free(&snapshot->pems, snapshot->pem_count);
    process_pems_free(&snapshot->origin_pems, snapshot->origin_pem_count);
    snapshot->pem_count = snapshot->origin_pem_count = 0;
    if (snapshot->pems_fd >= 0)
        close(snapshot->pems_fd);
    if (snapshot->origin_pems_fd >= 0)
        close(snapshot->origin_pems_fd);
    snapshot->pems_fd = snapshot->origin_pems_fd = -1;
}

void snapshot_free(snapshot_t **snapshot)
{
    if (*snapshot == NULL)
        return;
    snapshot_forget_keys(*snapshot);
    if ((*snapshot)->conf_fd >= 0)
        close((*snapshot)->conf_fd);
    conf_release(&(*snapshot)->conf);
    free(*snapshot);
    *snapshot = NULL;
}
