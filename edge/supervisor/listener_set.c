/*
 * See listener_set.h.
 */
#include "listener_set.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "conn.h"
/* The kernel limits it to net.core.somaxconn. */
#define BACKLOG  4096
#define RETRY_MS 50

/* Opens a socket bound to `address`, not listening. `shared` sets SO_REUSEPORT. Returns -1 with
 * errno. */
static int open_bound(const conf_address_t *address, bool ipv4, bool shared)
{
    int on = 1, ipv6_only = !ipv4;
    int fd = socket(address->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    bool ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0;
    if (ok && shared)
        ok = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0;
    /* Without `ipv4`, "[::]:443" and "0.0.0.0:443" are two listeners, independent of the system's default. */
    if (ok && address->sa.ss_family == AF_INET6)
        ok = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &ipv6_only, sizeof(ipv6_only)) == 0;
    if (ok && bind(fd, (const struct sockaddr *)&address->sa, address->len) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* Returns whether the address is free. A socket without SO_REUSEPORT cannot be bound beside
 * another, so this detects sockets that sharing would hide. */
static bool address_free(const conf_address_t *address, bool ipv4, uint32_t patience_ms)
{
    for (uint32_t waited = 0;; waited += RETRY_MS) {
        int fd = open_bound(address, ipv4, false);
        int saved = errno;
        if (fd >= 0 && listen(fd, 1) == 0) {
            close(fd);
            return true;
        }
        if (fd >= 0) {
            saved = errno;
            close(fd);
        }
        errno = saved;
        if (saved != EADDRINUSE || waited >= patience_ms)
            return false;
        (void)poll(NULL, 0, RETRY_MS);
    }
}

/*
 * The kernel accepts no more once it holds this many unsent bytes: some 250 KiB with the last write
 * and the data in flight to a slow reader, instead of 4 MiB. The data in flight to a fast reader is
 * not limited.
 */
#define UNSENT_BYTES 98304

bool listener_socket_prepare(int fd)
{
    int on = 1, unsent = UNSENT_BYTES, flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return false;
    /* An older kernel only buffers more. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
    /* Accepted connections inherit both options, which saves a call for each. */
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 || listen(fd, BACKLOG) < 0)
        return false;
    conn_probe_peer(fd); /* a tunnel may be silent for days, without a timer of ours */
    return true;
}

static int open_listening(const conf_address_t *address, bool ipv4)
{
    int fd = open_bound(address, ipv4, true);
    if (fd >= 0 && !listener_socket_prepare(fd)) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static const listener_address_t *find_address(const listener_set_t *set, const char *text)
{
    for (size_t i = 0; set != NULL && i < set->count; i++)
        if (strcmp(set->at[i].text, text) == 0)
            return &set->at[i];
    return NULL;
}

/* Writes a sentence about an error of an address. */
static void describe(const char *text, int error_number, char *error, size_t error_len)
{
    const char *hint = error_number == EADDRINUSE ? " (another socket already listens there)"
                       : error_number == EACCES   ? " (ports below 1024 need root or CAP_NET_BIND_SERVICE)"
                       : error_number == EADDRNOTAVAIL ? " (no interface of this machine has it)"
                                                       : "";
    snprintf(error, error_len, "cannot listen on %s: %s%s", text, strerror(error_number), hint);
}

/* Shares one socket among the workers. On error, errno has the cause. */
static bool share_address(listener_address_t *to, unsigned workers, int passed)
{
    while (to->count < workers) {
        int fd = fcntl(passed, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
            return false;
        to->fds[to->count++] = fd;
    }
    return true;
}

/* Opens the sockets of one address. On error, opened sockets stay in it and errno has the cause. */
static bool fill_address(listener_address_t *to, unsigned workers, const listener_address_t *old,
                         uint32_t patience_ms)
{
    if (old == NULL && !address_free(&to->address, to->ipv4, patience_ms))
        return false;
    while (to->count < workers) {
        int fd = old != NULL && to->count < old->count && old->fds[to->count] >= 0
                     ? fcntl(old->fds[to->count], F_DUPFD_CLOEXEC, 3)
                     : open_listening(&to->address, to->ipv4);
        if (fd < 0)
            return false;
        to->fds[to->count++] = fd;
    }
    return true;
}

listener_set_t *listener_set_new(size_t addresses)
{
    listener_set_t *set = calloc(1, sizeof(*set));
    if (set == NULL)
        return NULL;
    set->capacity = addresses;
    set->at = calloc(addresses + 1, sizeof(*set->at));
    if (set->at == NULL) {
        free(set);
        return NULL;
    }
    return set;
}

/* Adds the sockets of `listener` to `set`. Returns false with a sentence. */
static bool open_address(listener_set_t *set, const conf_listener_t *listener, unsigned workers,
                         const listener_sources_t *from, uint32_t patience_ms, char *error, size_t error_len)
{
    int passed = -1;
    listener_address_t *to = &set->at[set->count++];
    to->address = listener->address;
    to->ipv4 = listener->ipv4;
    snprintf(to->text, sizeof(to->text), "%s", listener->text);
    passed_match_t match = passed_sockets_find(from->passed, listener, &passed);
    if (match == PASSED_OTHER_IPV4) {
        snprintf(error, error_len,
                 "the socket for %s that was passed %s IPv4 clients, and listeners.ipv4 says otherwise "
                 "(BindIPv6Only= in boxedge.socket)",
                 to->text, to->ipv4 ? "takes no" : "takes");
        return false;
    }
    const listener_address_t *before = find_address(from->old, to->text);
    if (before != NULL && before->ipv4 != to->ipv4) {
        snprintf(error, error_len,
                 "listeners.ipv4 of %s cannot change while the edge runs; restart it for that", to->text);
        return false;
    }
    if (match == PASSED_FOUND ? share_address(to, workers, passed)
                              : fill_address(to, workers, before, patience_ms))
        return true;
    describe(to->text, errno, error, error_len);
    return false;
}

listener_set_t *listener_set_open(const conf_t *conf, const listener_sources_t *from, uint32_t patience_ms,
                                  char *error, size_t error_len)
{
    assert(conf->workers <= SHM_WORKERS_MAX);
    listener_set_t *set = listener_set_new(conf->listener_count);
    if (set == NULL) {
        snprintf(error, error_len, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < conf->listener_count; i++) {
        unsigned sockets = conf->listeners[i].kind == CONF_LISTENER_METRICS ? 1 : conf->workers;
        if (!open_address(set, &conf->listeners[i], sockets, from, patience_ms, error, error_len)) {
            listener_set_free(&set);
            return NULL;
        }
    }
    set->of_workers = conf_worker_listeners(conf);
    return set;
}

/* Tests with a bound socket that does not listen, because it does not disturb a process that begins
 * to listen now. */
static bool can_bind(const conf_listener_t *listener)
{
    int fd = open_bound(&listener->address, listener->ipv4, false);
    if (fd < 0)
        return false;
    close(fd);
    return true;
}

void listener_set_check(const conf_t *conf, uint32_t patience_ms, conf_errors_t *errors)
{
    static const conf_place_t nowhere = {0, 0};
    char error[512];
    for (size_t i = 0; i < conf->listener_count; i++) {
        const conf_listener_t *listener = &conf->listeners[i];
        bool free = can_bind(listener);
        for (; !free && errno == EADDRINUSE && patience_ms >= RETRY_MS; patience_ms -= RETRY_MS) {
            (void)poll(NULL, 0, RETRY_MS);
            free = can_bind(listener);
        }
        if (free)
            continue;
        describe(listener->text, errno, error, sizeof(error));
        conf_errors_add(errors, CONF_ERROR, conf->source, nowhere, "listeners.address", "%s", error);
    }
}

void listener_set_free(listener_set_t **set)
{
    if (*set == NULL)
        return;
    for (size_t i = 0; i < (*set)->count; i++)
        for (unsigned w = 0; w < (*set)->at[i].count; w++)
            if ((*set)->at[i].fds[w] >= 0)
                close((*set)->at[i].fds[w]);
    free((*set)->at);
    free(*set);
    *set = NULL;
}

static bool is_listening(int fd)
{
    int on = 0;
    socklen_t len = sizeof(on);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on != 0;
}

static bool takes_ipv4(int fd)
{
    int only = 1, domain = 0;
    socklen_t len = sizeof(only), domain_len = sizeof(domain);
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_len) == 0 && domain == AF_INET6 &&
           getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len) == 0 && only == 0;
}

bool listener_set_adopt(listener_set_t *set, const char *text, unsigned worker, int fd)
{
    listener_address_t *to = NULL;
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->at[i].text, text) == 0)
            to = &set->at[i];
    bool there = to != NULL && worker < to->count && to->fds[worker] >= 0;
    bool full = to == NULL && set->count == set->capacity;
    if (worker >= SHM_WORKERS_MAX || !is_listening(fd) || there || full) {
        close(fd);
        return false;
    }
    if (to == NULL) {
        to = &set->at[set->count++];
        snprintf(to->text, sizeof(to->text), "%s", text);
        to->ipv4 = takes_ipv4(fd);
    }
    while (to->count <= worker)
        to->fds[to->count++] = -1;
    to->fds[worker] = fd;
    return true;
}

/* ---- the admin socket ---- */

/* Returns whether a process accepts connections at `sa`. */
static bool unix_answers(const struct sockaddr_un *sa)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool answers = fd >= 0 && (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 || errno == EAGAIN);
    if (fd >= 0)
        close(fd);
    return answers;
}

/* Returns false with a sentence if the path is taken, except by a socket that its process left
 * behind. */
static bool path_is_free(const struct sockaddr_un *sa, char *error, size_t error_len)
{
    struct stat st;
    if (lstat(sa->sun_path, &st) < 0)
        return true;
    if (!S_ISSOCK(st.st_mode)) {
        snprintf(error, error_len,
                 "%s exists and is not a socket; remove it or set admin.socket to another path",
                 sa->sun_path);
        return false;
    }
    if (unix_answers(sa)) {
        snprintf(error, error_len, "another process serves the admin socket %s", sa->sun_path);
        return false;
    }
    return true;
}

static bool name_unix(const char *path, struct sockaddr_un *sa, char *error, size_t error_len)
{
    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((size_t)snprintf(sa->sun_path, sizeof(sa->sun_path), "%s", path) < sizeof(sa->sun_path))
        return true;
    snprintf(error, error_len, "the path of the admin socket is longer than %zu bytes: %s",
             sizeof(sa->sun_path) - 1, path);
    return false;
}

static void describe_unix(const char *path, int error_number, char *error, size_t error_len)
{
    snprintf(error, error_len, "cannot listen on the admin socket %s: %s", path, strerror(error_number));
}

int listener_unix_open(const char *path, uid_t uid, gid_t gid, char *error, size_t error_len)
{
    struct sockaddr_un sa;
    if (!name_unix(path, &sa, error, error_len) || !path_is_free(&sa, error, error_len))
        return -1;
    (void)unlink(path); /* left behind by an earlier process */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* No process may connect between bind and chmod. */
    mode_t mask = umask(0177);
    bool ok = fd >= 0 && bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0;
    int saved = errno;
    umask(mask);
    if (ok) {
        ok = lchown(path, uid, gid) == 0 && chmod(path, 0660) == 0 && listen(fd, BACKLOG) == 0;
        saved = errno;
    }
    if (!ok) {
        describe_unix(path, saved, error, error_len);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

/* Returns whether `path` is one of `made`, or a parent of one. */
static bool will_be_made(const char *path, const char *const made[])
{
    size_t n = strlen(path);
    for (size_t i = 0; made[i] != NULL; i++)
        if (strncmp(made[i], path, n) == 0 && (made[i][n] == '/' || made[i][n] == '\0'))
            return true;
    return false;
}

bool listener_unix_check(const char *path, const char *const made[], char *error, size_t error_len)
{
    struct sockaddr_un sa;
    char dir[sizeof(sa.sun_path)];
    if (!name_unix(path, &sa, error, error_len) || !path_is_free(&sa, error, error_len))
        return false;
    memcpy(dir, sa.sun_path, sizeof(dir));
    char *slash = strrchr(dir, '/');
    if (slash == NULL)
        return true; /* a configuration has no relative paths */
    slash[slash == dir] = '\0';
    if (access(dir, W_OK | X_OK) == 0 || (errno == ENOENT && will_be_made(dir, made)))
        return true;
    describe_unix(path, errno, error, error_len);
    return false;
}
