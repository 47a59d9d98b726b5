/*
 * See own_paths.h. Paths are compared as the kernel resolves them: links of the part that exists are
 * followed, and the rest is taken as it is written, without empty and "." segments.
 */
#include "own_paths.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_log.h"

typedef struct resolved {
    char text[PATH_MAX];
} resolved_t;

typedef struct own {
    const char *what;
    bool whole; /* all below it is the edge's too */
    resolved_t path;
} own_t;

#define OWN_MAX 9

static void append(resolved_t *path, const char *segment, size_t n)
{
    size_t used = strlen(path->text);
    if (n == 0 || (n == 1 && segment[0] == '.') || used + n + 2 > sizeof(path->text))
        return;
    if (used == 0 || path->text[used - 1] != '/')
        path->text[used++] = '/';
    memcpy(path->text + used, segment, n);
    path->text[used + n] = '\0';
}

/* Of a path that begins with a slash. */
static resolved_t resolve(const char *path)
{
    resolved_t out;
    char head[PATH_MAX];
    size_t n = strlen(path), cut = n < sizeof(head) ? n : sizeof(head) - 1;
    memcpy(head, path, cut);
    for (;;) { /* the longest part that exists */
        head[cut] = '\0';
        if (realpath(cut == 0 ? "/" : head, out.text) != NULL || cut == 0)
            break;
        while (cut > 0 && head[--cut] != '/')
            ;
    }
    for (const char *at = path + cut; *at != '\0';) {
        size_t segment = strcspn(at, "/");
        append(&out, at, segment);
        at += segment + (at[segment] == '/');
    }
    return out;
}

static resolved_t below(resolved_t dir, const char *name)
{
    append(&dir, name, strlen(name));
    return dir;
}

/* Whether `path` is that of the edge's own, or below one. */
static bool is_in(const resolved_t *path, const own_t *own)
{
    size_t n = strlen(own->path.text);
    if (strncmp(path->text, own->path.text, n) != 0)
        return false;
    return path->text[n] == '\0' || (own->whole && path->text[n] == '/');
}

static void add(const conf_t *conf, conf_errors_t *errors, const char *key, const char *path,
                const char *what)
{
    static const conf_place_t nowhere = {0, 0};
    conf_errors_add(errors, CONF_ERROR, conf->source, nowhere, key,
                    "\"%s\" is, or is in, %s of this edge; allowed: a path that the edge does not make "
                    "for something else",
                    path, what);
}

static void check(const conf_t *conf, conf_errors_t *errors, const char *key, const char *path,
                  const own_t *own, size_t count)
{
    resolved_t resolved = resolve(path);
    for (size_t i = 0; i < count; i++)
        if (is_in(&resolved, &own[i])) {
            add(conf, errors, key, path, own[i].what);
            return;
        }
}

void own_paths_check(const conf_t *conf, conf_errors_t *errors)
{
    resolved_t state = resolve(conf->state_dir), run = resolve(conf->run_dir);
    const own_t own[OWN_MAX] = {
        {"the lock of run_dir", true, below(run, RUN_LOCK)},
        {"the lock of state_dir", true, below(state, STATE_LOCK)},
        {"the store in state_dir", true, below(state, "store")},
        {"the store in run_dir", true, below(run, "store")},
        {"the note of the store in state_dir", true, below(state, "store.made")},
        {"the authority in state_dir", true, below(state, "ca")},
        {"the secrets of previews in state_dir", true, below(state, "previews")},
        {"the run_dir", false, run},
        {"the state_dir", false, state},
    };
    const own_t socket = {"the admin socket", true, resolve(conf->admin_socket)};
    const char *log = conf->access_log;
    check(conf, errors, "state_dir", conf->state_dir, own, 2);
    check(conf, errors, "run_dir", conf->run_dir, own, 2);
    check(conf, errors, "admin.socket", conf->admin_socket, own, OWN_MAX);
    if (conf_log_kind(str_from(log)) != CONF_LOG_FILE)
        return;
    check(conf, errors, "log.access", log, own, OWN_MAX);
    check(conf, errors, "log.access", log, &socket, 1);
}
