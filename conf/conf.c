#include "conf.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "conf_bind.h"
#include "conf_check.h"
#include "conf_derive.h"

static void free_conf(conf_t *conf)
{
    conf_unbind(conf);
    free(conf->source);
    free(conf);
}

static conf_place_t place_of(const conf_node_t *map, const char *name)
{
    const conf_node_t *value = conf_node_get(map, str_from(name));
    return value != NULL ? value->place : (conf_place_t){0, 0};
}

static void note_upstream_places(conf_t *conf, const conf_node_t *root)
{
    const conf_node_t *list = conf_node_get(root, STR("upstreams"));
    for (size_t i = 0; i < conf->upstream_count; i++) {
        conf_upstream_t *upstream = &conf->upstreams[i];
        upstream->tls_ca_place = place_of(list->children[i], "tls_ca");
        upstream->tls_certificate_place = place_of(list->children[i], "tls_certificate");
        upstream->tls_key_place = place_of(list->children[i], "tls_key");
    }
}

/* Records the positions of certificate files and boxes, for conf_check_files. */
static void note_places(conf_t *conf, const conf_node_t *root)
{
    for (size_t i = 0; i < conf->box_count; i++)
        conf->boxes[i].place = conf_node_get(root, STR("boxes"))->children[i]->place;
    const conf_node_t *list = conf_node_get(root, STR("certificates"));
    for (size_t i = 0; i < conf->certificate_count; i++) {
        conf->certificates[i].chain_place = conf_node_get(list->children[i], STR("chain"))->place;
        conf->certificates[i].key_place = conf_node_get(list->children[i], STR("key"))->place;
    }
}

/* Workers serve the listeners before those of kind metrics, and know them by their position. */
static void sort_listeners(conf_t *conf)
{
    conf_listener_t *sorted = conf_alloc(conf->listener_count + 1, sizeof(*sorted));
    size_t count = 0;
    for (int last = 0; last <= 1; last++)
        for (size_t i = 0; i < conf->listener_count; i++)
            if ((conf->listeners[i].kind == CONF_LISTENER_METRICS) == (last == 1))
                sorted[count++] = conf->listeners[i];
    free(conf->listeners);
    conf->listeners = sorted;
}

size_t conf_worker_listeners(const conf_t *conf)
{
    size_t count = conf->listener_count;
    while (count > 0 && conf->listeners[count - 1].kind == CONF_LISTENER_METRICS)
        count--;
    return count;
}

conf_t *conf_parse_in(const conf_environment_t *env, const char *path, str_t text, conf_errors_t *errors)
{
    size_t errors_before = conf_errors_count(errors);
    conf_t *conf = conf_alloc(1, sizeof(*conf));
    conf->source = conf_copy(str_from(path));
    conf->refcount = 1;
    conf_node_t *root = conf_tree_parse(path, text, errors);
    conf_bind(conf, root, env->cwd, errors);
    conf_derive(conf, root, env, errors);
    conf_check(conf, root, errors);
    if (conf_errors_count(errors) != errors_before) {
        free_conf(conf);
        conf = NULL;
    } else {
        note_places(conf, root);
        note_upstream_places(conf, root);
        sort_listeners(conf);
    }
    conf_tree_free(&root);
    return conf;
}

conf_t *conf_parse(const char *path, str_t text, conf_errors_t *errors)
{
    conf_environment_t env;
    conf_environment_read(&env);
    return conf_parse_in(&env, path, text, errors);
}

bool conf_read_file(const char *path, char *bytes, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return false;
    ssize_t n = 1;
    *len = 0;
    while (n != 0 && *len <= CONF_FILE_MAX) {
        n = read(fd, bytes + *len, CONF_FILE_MAX + 1 - *len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        *len += (size_t)n;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return n >= 0;
}

conf_t *conf_load(const char *path, conf_errors_t *errors)
{
    conf_environment_t env;
    conf_environment_read(&env);
    return conf_load_in(&env, path, errors);
}

conf_t *conf_load_in(const conf_environment_t *env, const char *path, conf_errors_t *errors)
{
    char *bytes = conf_alloc(CONF_FILE_MAX + 1, 1);
    size_t len = 0;
    conf_t *conf = NULL;
    if (conf_read_file(path, bytes, &len))
        conf = conf_parse_in(env, path, str_make(bytes, len), errors);
    else
        conf_errors_add(errors, CONF_ERROR, path, (conf_place_t){0, 0}, NULL, "cannot be read: %s",
                        strerror(errno));
    free(bytes);
    return conf;
}

conf_t *conf_acquire(const conf_t *conf)
{
    conf_t *shared = (conf_t *)conf; /* immutable except for the count */
    assert(shared->refcount != 0 && shared->refcount != UINT32_MAX);
    shared->refcount++;
    return shared;
}

void conf_release(conf_t **conf)
{
    conf_t *released = *conf;
    *conf = NULL;
    if (released == NULL)
        return;
    assert(released->refcount != 0);
    if (--released->refcount == 0)
        free_conf(released);
}
