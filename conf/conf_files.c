/* Checks the files and names that a configuration mentions: they must exist and have the right
 * content. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "conf_errors.h"
#include "conf_log.h"
#include "conf_net.h"
#include "own_address.h"

#define PEM_FILE_MAX (1024 * 1024)
#define GROUPS_MAX   256
/* Symbolic links in a row, as the kernel follows them. */
#define LINKS_MAX 40
/* A token has at most one byte less. */
#define TOKEN_LINE_MAX 4097

/* The position of errors about the file as a whole. */
static const conf_place_t nowhere = {0, 0};

/*
 * Opens a regular file for reading. Returns -1 after adding an error. O_NONBLOCK: a FIFO in its
 * place must not block the edge.
 */
static int open_regular(const conf_t *conf, conf_place_t place, const char *key, const char *path,
                        const char *allowed, struct stat *st, conf_errors_t *errors)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, st) != 0) {
        conf_errors_add(errors, CONF_ERROR, conf->source, place, key, "\"%s\" cannot be read: %s", path,
                        strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (!S_ISREG(st->st_mode) || st->st_size > PEM_FILE_MAX) {
        conf_errors_add(errors, CONF_ERROR, conf->source, place, key,
                        "\"%s\" is not a regular file of at most 1 MiB; allowed: %s", path, allowed);
        close(fd);
        return -1;
    }
    return fd;
}

/* Reads the file and looks for the marks of a PEM file of this kind. Cleanses the memory, because
 * the file may hold a key. */
static bool contains_any(int fd, size_t size, const char *const *marks)
{
    char *bytes = conf_alloc(size + 1, 1);
    size_t have = 0;
    while (have < size) {
        ssize_t n = read(fd, bytes + have, size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    bool found = false;
    for (size_t i = 0; marks[i] != NULL; i++)
        found = found || memmem(bytes, have, marks[i], strlen(marks[i])) != NULL;
    explicit_bzero(bytes, size);
    free(bytes);
    return found;
}

static void check_certificates(const conf_t *conf, conf_place_t place, const char *key, const char *path,
                               const char *const *marks, conf_errors_t *errors)
{
    struct stat st;
    int fd = open_regular(conf, place, key, path, "a PEM file", &st, errors);
    if (fd < 0)
        return;
    if (!contains_any(fd, (size_t)st.st_size, marks))
        conf_errors_add(errors, CONF_ERROR, conf->source, place, key,
                        "\"%s\" has no certificate in it; allowed: a PEM file with \"%s\"", path, marks[0]);
    close(fd);
}

static void check_chain(const conf_t *conf, conf_place_t place, const char *key, const char *path,
                        conf_errors_t *errors)
{
    static const char *const marks[] = {"-----BEGIN CERTIFICATE-----", NULL};
    check_certificates(conf, place, key, path, marks, errors);
}

static void check_authorities(const conf_t *conf, conf_place_t place, const char *key, const char *path,
                              conf_errors_t *errors)
{
    static const char *const marks[] = {"-----BEGIN CERTIFICATE-----", "-----BEGIN TRUSTED CERTIFICATE-----",
                                        NULL};
    check_certificates(conf, place, key, path, marks, errors);
}

static void check_key(const conf_t *conf, conf_place_t place, const char *key, const char *path,
                      conf_errors_t *errors)
{
    static const char *const marks[] = {"-----BEGIN PRIVATE KEY-----", "-----BEGIN EC PRIVATE KEY-----",
                                        "-----BEGIN RSA PRIVATE KEY-----", NULL};
    struct stat st;
    int fd = open_regular(conf, place, key, path, "a PEM file", &st, errors);
    if (fd < 0)
        return;
    if (!contains_any(fd, (size_t)st.st_size, marks))
        conf_errors_add(errors, CONF_ERROR, conf->source, place, key,
                        "\"%s\" has no private key in it; allowed: a PEM file with \"%s\", not encrypted",
                        path, marks[0]);
    if (st.st_mode & S_IROTH)
        conf_errors_add(errors, CONF_WARNING, conf->source, place, key,
                        "\"%s\" can be read by every user of this machine; chmod 600 prevents that", path);
    close(fd);
}

/* Cuts `path` to the nearest existing directory above it. */
static void cut_to_existing(char *path)
{
    struct stat st;
    while (strcmp(path, "/") != 0 && stat(path, &st) != 0 && errno == ENOENT) {
        char *slash = strrchr(path, '/');
        if (slash == NULL)
            return;
        slash[slash == path ? 1 : 0] = '\0';
    }
}

/* The user of this process must be able to write to `path`, or to make it. */
static void check_writable(const conf_t *conf, const char *key, const char *path, const char *what,
                           conf_errors_t *errors)
{
    char *nearest = conf_copy(str_from(path));
    cut_to_existing(nearest);
    if (access(nearest, W_OK | X_OK) != 0)
        conf_errors_add(errors, CONF_ERROR, conf->source, nowhere, key, "%s \"%s\" cannot be %s: %s%s%s%s",
                        what, path, strcmp(nearest, path) == 0 ? "written" : "made", strerror(errno),
                        strcmp(nearest, path) == 0 ? "" : " (in \"",
                        strcmp(nearest, path) == 0 ? "" : nearest, strcmp(nearest, path) == 0 ? "" : "\")");
    free(nearest);
}

static void check_dir(const conf_t *conf, const char *key, const char *path, conf_errors_t *errors)
{
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        conf_errors_add(
            errors, CONF_ERROR, conf->source, nowhere, key,
            "\"%s\" exists and is not a directory; allowed: a directory, or a path that does not exist",
            path);
    else
        check_writable(conf, key, path, "the directory", errors);
}

/* Returns false with errno. */
static bool is_writable_dir(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
    if (!S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return false;
    }
    return access(path, W_OK | X_OK) == 0;
}

/* Returns whether a missing file can be made at the end of the link `path`, else false with errno. */
static bool can_be_made(const char *path)
{
    char *at = conf_copy(str_from(path));
    bool ok = false;
    for (int links = 0; links < LINKS_MAX; links++) {
        char target[PATH_MAX], next[2 * PATH_MAX];
        ssize_t n = readlink(at, target, sizeof(target) - 1);
        char *slash = strrchr(at, '/');
        if (n < 0) {
            if (slash != NULL)
                slash[slash == at ? 1 : 0] = '\0';
            ok = is_writable_dir(at);
            free(at);
            return ok;
        }
        target[n] = '\0';
        int dir = target[0] == '/' || slash == NULL ? 0 : (int)(slash - at) + 1;
        snprintf(next, sizeof(next), "%.*s%s", dir, at, target);
        free(at);
        at = conf_copy(str_from(next));
    }
    free(at);
    errno = ELOOP;
    return false;
}

/* Opens the file as the edge will. A pipe is not opened, since its reader would see an end of file when the
 * check closes it. */
static bool can_be_opened(const char *path, const struct stat *st)
{
    if (S_ISFIFO(st->st_mode))
        return access(path, W_OK) == 0;
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* The edge creates a missing file, but not its directory. */
static void check_log(const conf_t *conf, conf_errors_t *errors)
{
    const char *path = conf->access_log;
    struct stat st;
    if (conf_log_kind(str_from(path)) != CONF_LOG_FILE)
        return;
    bool there = stat(path, &st) == 0;
    if (there && (S_ISDIR(st.st_mode) || S_ISSOCK(st.st_mode)))
        conf_errors_add(errors, CONF_ERROR, conf->source, nowhere, "log.access",
                        "\"%s\" is a %s; allowed: a file, a pipe or a path that does not exist", path,
                        S_ISDIR(st.st_mode) ? "directory" : "socket");
    else if (there ? !can_be_opened(path, &st) : !can_be_made(path))
        conf_errors_add(errors, CONF_ERROR, conf->source, nowhere, "log.access",
                        "\"%s\" cannot be written: %s", path, strerror(errno));
}

/* Returns whether the file's mode lets `user` read it. */
static bool readable_by(const struct passwd *user, const struct stat *st)
{
    if (user->pw_uid == 0)
        return true;
    if (st->st_uid == user->pw_uid)
        return (st->st_mode & S_IRUSR) != 0;
    gid_t groups[GROUPS_MAX];
    int count = GROUPS_MAX;
    if (getgrouplist(user->pw_name, user->pw_gid, groups, &count) < 0)
        return true; /* in more groups than are checked */
    for (int i = 0; i < count; i++)
        if (groups[i] == st->st_gid)
            return (st->st_mode & S_IRGRP) != 0;
    return (st->st_mode & S_IROTH) != 0;
}

/* The controller reads these files after it has become `user`. */
static void check_readable(const conf_t *conf, conf_place_t place, const char *key, const char *path,
                           const struct stat *st, conf_errors_t *errors)
{
    const struct passwd *user = geteuid() == 0 && conf->user[0] != '\0' ? getpwnam(conf->user) : NULL;
    if (user != NULL && !readable_by(user, st))
        conf_errors_add(errors, CONF_WARNING, conf->source, place, key,
                        "\"%s\" cannot be read by \"%s\", the edge's user; chown it to that user", path,
                        conf->user);
}

/* Returns whether the first line has more than white space, as the controller reads it. Cleanses
 * the memory. */
static bool begins_with_token(int fd)
{
    char bytes[TOKEN_LINE_MAX];
    ssize_t n = read(fd, bytes, sizeof(bytes));
    str_t text = str_make(bytes, n > 0 ? (size_t)n : 0);
    const char *end = text.n != 0 ? memchr(text.p, '\n', text.n) : NULL;
    bool short_enough = end != NULL || text.n < sizeof(bytes);
    size_t line = end != NULL ? (size_t)(end - bytes) : text.n;
    bool any = false;
    for (size_t i = 0; i < line; i++)
        any = any || strchr(" \t\r", bytes[i]) == NULL;
    explicit_bzero(bytes, sizeof(bytes));
    return any && short_enough;
}

/* `what` is the kind of secret: a token, a key. */
static void check_token(const conf_t *conf, const char *key, const char *path, const char *what,
                        conf_errors_t *errors)
{
    struct stat st;
    char needed[64];
    snprintf(needed, sizeof(needed), "a file with the %s in its first line", what);
    int fd = open_regular(conf, nowhere, key, path, needed, &st, errors);
    if (fd < 0)
        return;
    if (!begins_with_token(fd))
        conf_errors_add(errors, CONF_ERROR, conf->source, nowhere, key,
                        "\"%s\" has no %s of at most 4 KiB in its first line; allowed: a file with one", path,
                        what);
    if (st.st_mode & S_IROTH)
        conf_errors_add(errors, CONF_WARNING, conf->source, nowhere, key,
                        "\"%s\" can be read by every user of this machine; chmod 600 prevents that", path);
    check_readable(conf, nowhere, key, path, &st, errors);
    close(fd);
}

static void check_ca(const conf_t *conf, const char *key, const char *path, conf_errors_t *errors)
{
    struct stat st;
    check_authorities(conf, nowhere, key, path, errors);
    if (stat(path, &st) == 0)
        check_readable(conf, nowhere, key, path, &st, errors);
}

/* The controller serves the listener. */
static void check_metrics(const conf_t *conf, const conf_listener_t *listener, conf_errors_t *errors)
{
    struct stat st;
    if (listener->token_file[0] != '\0')
        check_token(conf, "listeners.token_file", listener->token_file, "token", errors);
    if (listener->tls_certificate[0] == '\0')
        return;
    check_chain(conf, nowhere, "listeners.tls_certificate", listener->tls_certificate, errors);
    if (stat(listener->tls_certificate, &st) == 0)
        check_readable(conf, nowhere, "listeners.tls_certificate", listener->tls_certificate, &st, errors);
    check_key(conf, nowhere, "listeners.tls_key", listener->tls_key, errors);
    if (stat(listener->tls_key, &st) == 0)
        check_readable(conf, nowhere, "listeners.tls_key", listener->tls_key, &st, errors);
}

/* Workers get the contents of an upstream's files from the supervisor, but the controller reads
 * them for active checks. */
static void check_for_health(const conf_t *conf, const conf_upstream_t *upstream, conf_place_t place,
                             const char *key, const char *path, conf_errors_t *errors)
{
    struct stat st;
    if (upstream->health_path[0] != '\0' && stat(path, &st) == 0)
        check_readable(conf, place, key, path, &st, errors);
}

/* Checks the files of an upstream that are used. */
static void check_upstream(const conf_t *conf, size_t i, conf_errors_t *errors)
{
    const conf_upstream_t *up = &conf->upstreams[i];
    char key[64];
    if (!up->tls)
        return;
    if (up->tls_ca[0] != '\0') {
        snprintf(key, sizeof(key), "upstreams[%zu].tls_ca", i);
        check_authorities(conf, up->tls_ca_place, key, up->tls_ca, errors);
        check_for_health(conf, up, up->tls_ca_place, key, up->tls_ca, errors);
    }
    if (up->tls_certificate[0] == '\0')
        return;
    snprintf(key, sizeof(key), "upstreams[%zu].tls_certificate", i);
    check_chain(conf, up->tls_certificate_place, key, up->tls_certificate, errors);
    check_for_health(conf, up, up->tls_certificate_place, key, up->tls_certificate, errors);
    snprintf(key, sizeof(key), "upstreams[%zu].tls_key", i);
    check_key(conf, up->tls_key_place, key, up->tls_key, errors);
    check_for_health(conf, up, up->tls_key_place, key, up->tls_key, errors);
}

/* Checks conditions that would keep a process box from starting. Only warnings, because the edge
 * starts without the box. */
static void check_process(const conf_t *conf, const conf_process_t *process, conf_errors_t *errors)
{
    const char *user = process->user[0] != '\0' ? process->user : conf->user;
    struct stat st;
    if (stat(process->directory, &st) < 0 || !S_ISDIR(st.st_mode))
        conf_errors_add(errors, CONF_WARNING, conf->source, nowhere, "processes.directory",
                        "\"%s\", the directory of %s, is not a directory on this machine", process->directory,
                        process->id);
    if (geteuid() != 0)
        return;
    const struct passwd *entry = user[0] != '\0' ? getpwnam(user) : NULL;
    if (user[0] == '\0' || (entry != NULL && entry->pw_uid == 0))
        conf_errors_add(errors, CONF_WARNING, conf->source, nowhere, "processes.user",
                        "%s would run as root and will not be started; set another user for it", process->id);
    else if (process->user[0] != '\0' && entry == NULL)
        conf_errors_add(errors, CONF_WARNING, conf->source, nowhere, "processes.user",
                        "the user \"%s\" of %s does not exist on this machine", user, process->id);
    else if (entry != NULL && strcmp(user, conf->user) == 0)
        conf_errors_add(errors, CONF_WARNING, conf->source, nowhere, "processes.user",
                        "%s would run as \"%s\", the edge's own user: it could open the admin socket and "
                        "read the store; set another user for it",
                        process->id, user);
}

/* A static box on this machine, beside an API host whose callers choose ports: only declared ports
 * are the operator's decision. This check stays out of conf_parse, so that a worker accepts the
 * same text later even if the machine's addresses have changed. */
static void check_box(const conf_t *conf, size_t i, conf_errors_t *errors)
{
    const conf_box_t *box = &conf->boxes[i];
    struct in6_addr address;
    uint16_t port;
    char key[64], text[64];
    if (conf->api.host_count == 0 || !conf->api.previews || box->port_count != 0 ||
        !address_take((const struct sockaddr *)&box->address.sa, &address, &port) || port != 0 ||
        !own_address(&address))
        return;
    snprintf(key, sizeof(key), "boxes[%zu].ports", i);
    conf_net_print(&box->address, text);
    conf_errors_add(
        errors, CONF_ERROR, conf->source, box->place, key,
        "is missing: \"%s\" is this machine (%s), and every owner of an API key could publish any of its "
        "ports; needed: the ports that may have previews, such as ports: [3000]",
        box->id, text);
}

void conf_check_files(const conf_t *conf, conf_errors_t *errors)
{
    for (size_t i = 0; i < conf->box_count; i++)
        check_box(conf, i, errors);
    for (size_t i = 0; i < conf->certificate_count; i++) {
        const conf_certificate_t *certificate = &conf->certificates[i];
        check_chain(conf, certificate->chain_place, "certificates.chain", certificate->chain_path, errors);
        check_key(conf, certificate->key_place, "certificates.key", certificate->key_path, errors);
    }
    for (size_t i = conf_worker_listeners(conf); i < conf->listener_count; i++)
        check_metrics(conf, &conf->listeners[i], errors);
    if (conf->control_plane.url[0] != '\0' && conf->control_plane.token_file[0] != '\0')
        check_token(conf, "control_plane.token_file", conf->control_plane.token_file, "token", errors);
    if (conf->api.host_count != 0 && conf->api.settle_key[0] != '\0')
        check_token(conf, "api.settle_key", conf->api.settle_key, "key", errors);
    if (conf->control_plane.url[0] != '\0' && conf->control_plane.ca_file[0] != '\0')
        check_ca(conf, "control_plane.ca_file", conf->control_plane.ca_file, errors);
    if (conf->tracing.otlp[0] != '\0' && conf->tracing.ca_file[0] != '\0')
        check_ca(conf, "tracing.ca_file", conf->tracing.ca_file, errors);
    for (size_t i = 0; i < conf->upstream_count; i++)
        check_upstream(conf, i, errors);
}

void conf_check_places(const conf_t *conf, conf_errors_t *errors)
{
    for (size_t i = 0; i < conf->process_count; i++)
        check_process(conf, &conf->processes[i], errors);
    check_dir(conf, "state_dir", conf->state_dir, errors);
    check_dir(conf, "run_dir", conf->run_dir, errors);
    check_log(conf, errors);
}
