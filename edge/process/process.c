/*
 * See process.h: the parts that all processes share.
 */
#include "process.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "conf_environment.h"
#include "memfile.h"

bool process_store_dirs(const conf_t *conf, char *durable, char *volatile_dir, size_t len)
{
    int a = snprintf(durable, len, "%s/store", conf->state_dir);
    int b = snprintf(volatile_dir, len, "%s/store", conf->run_dir);
    return a >= 0 && (size_t)a < len && b >= 0 && (size_t)b < len;
}

bool process_previews_dir(const conf_t *conf, char *path, size_t len)
{
    int n = snprintf(path, len, "%s/previews", conf->state_dir);
    return n >= 0 && (size_t)n < len;
}

/*
 * "<environment><path>\0<text>" (process_conf_write). The environment comes from the supervisor,
 * because a process without its rights, or bound to one CPU, would find other defaults.
 */
conf_t *process_conf_read(int fd, char *error, size_t error_len)
{
    size_t len;
    char *bytes = memfile_read(fd, &len);
    if (bytes == NULL) {
        snprintf(error, error_len, "the configuration cannot be read from the supervisor: %s",
                 strerror(errno));
        return NULL;
    }
    conf_environment_t env;
    size_t at = sizeof(env) < len ? sizeof(env) : len;
    size_t path_len = strnlen(bytes + at, len - at);
    conf_t *conf = NULL;
    if (at + path_len < len) {
        memcpy(&env, bytes, sizeof(env));
        conf_errors_t *errors = conf_errors_new();
        str_t text = str_make(bytes + at + path_len + 1, len - at - path_len - 1);
        conf = conf_parse_in(&env, bytes + at, text, errors);
        conf_errors_free(&errors);
    }
    if (conf == NULL)
        snprintf(error, error_len, "the supervisor sent a configuration that does not parse");
    memfile_release(&bytes, len);
    return conf;
}

int process_conf_write(const char *path, str_t text)
{
    conf_environment_t env;
    conf_environment_read(&env);
    const str_t parts[] = {str_make((const char *)&env, sizeof(env)), str_make(path, strlen(path) + 1), text};
    return memfile_write("boxedge-conf", parts, 3);
}

/* ---- PEMs: each chain, key and list of authorities with its NUL, in sequence ---- */

int process_pems_write(const tls_pem_t *pems, size_t count)
{
    str_t *parts = calloc(3 * count + 1, sizeof(*parts));
    if (parts == NULL)
        return -1;
    for (size_t i = 0; i < count; i++) {
        const char *authorities = pems[i].authorities != NULL ? pems[i].authorities : "";
        parts[3 * i] = str_make(pems[i].chain, strlen(pems[i].chain) + 1);
        parts[3 * i + 1] = str_make(pems[i].key, strlen(pems[i].key) + 1);
        parts[3 * i + 2] = str_make(authorities, strlen(authorities) + 1);
    }
    int fd = memfile_write("boxedge-pems", parts, 3 * count);
    free(parts);
    return fd;
}

/* Copies the next NUL-terminated string out of `*rest`. Returns NULL if none is left or memory runs
 * out. */
static char *take_string(str_t *rest)
{
    const char *end = rest->n > 0 ? memchr(rest->p, '\0', rest->n) : NULL;
    if (end == NULL)
        return NULL;
    size_t size = (size_t)(end - rest->p) + 1;
    char *copy = malloc(size);
    if (copy == NULL)
        return NULL;
    memcpy(copy, rest->p, size);
    *rest = str_from_offset(*rest, size);
    return copy;
}

bool process_pems_read(int fd, tls_pem_t **pems, size_t *count)
{
    size_t len;
    *pems = NULL;
    *count = 0;
    char *bytes = memfile_read(fd, &len);
    if (bytes == NULL)
        return false;
    size_t strings = 0;
    for (size_t i = 0; i < len; i++)
        strings += bytes[i] == '\0';
    bool well = strings % 3 == 0 && (len == 0 || bytes[len - 1] == '\0');
    *pems = well ? calloc(strings / 3 + 1, sizeof(**pems)) : NULL;
    well = *pems != NULL;
    str_t rest = str_make(bytes, len);
    while (well && rest.n > 0) {
        tls_pem_t *pem = &(*pems)[(*count)++];
        pem->chain = take_string(&rest);
        pem->key = take_string(&rest);
        pem->authorities = take_string(&rest);
        well = pem->chain != NULL && pem->key != NULL && pem->authorities != NULL;
    }
    memfile_release(&bytes, len);
    if (!well)
        process_pems_free(pems, *count);
    return well;
}

void process_pems_free(tls_pem_t **pems, size_t count)
{
    if (*pems == NULL)
        return;
    for (size_t i = 0; i < count; i++)
        tls_pem_fini(&(*pems)[i]);
    free(*pems);
    *pems = NULL;
}
