#include "log_target.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf_log.h"
#include "log_output.h"

/* ---- a syslog server ---- */

/* The first address of a server to which this machine has a way; `error`: of getaddrinfo, or EAI_SYSTEM with
 * `number`. */
typedef struct found {
    int error;
    int number;
    socklen_t len;
    struct sockaddr_storage address;
} found_t;

static int connect_to(const found_t *found)
{
    int fd = socket(found->address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&found->address, found->len) != 0) {
        int number = errno;
        close(fd);
        errno = number;
        return -1;
    }
    return fd;
}

/* Resolves a name, perhaps for long. */
static found_t find(const char *host, uint16_t port, int flags)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV | flags};
    struct addrinfo *list = NULL;
    found_t found = {.error = 0};
    char service[8];
    int fd = -1;
    (void)snprintf(service, sizeof(service), "%u", port);
    found.error = getaddrinfo(host, service, &hints, &list);
    if (found.error != 0) {
        found.number = errno;
        return found;
    }
    for (const struct addrinfo *at = list; at != NULL && fd < 0; at = at->ai_next) {
        memcpy(&found.address, at->ai_addr, at->ai_addrlen);
        found.len = at->ai_addrlen;
        fd = connect_to(&found);
    }
    if (fd < 0) {
        found.error = EAI_SYSTEM;
        found.number = errno;
    } else {
        close(fd);
    }
    freeaddrinfo(list);
    return found;
}

/* In the child. The alarm ends it if its parent is gone. */
static _Noreturn void find_and_report(const char *host, uint16_t port, int out)
{
    sigset_t none;
    sigemptyset(&none);
    (void)signal(SIGALRM, SIG_DFL);
    (void)alarm(2 * LOG_TARGET_NAME_MS / 1000);
    sigprocmask(SIG_SETMASK, &none, NULL);
    const found_t found = find(host, port, 0);
    _exit(write(out, &found, sizeof(found)) == (ssize_t)sizeof(found) ? 0 : 1);
}

/* Resolves a name in a process of its own, since the resolver has no time limit. */
static found_t find_in_time(const char *host, uint16_t port)
{
    found_t found = {.error = EAI_SYSTEM};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        found.number = errno;
        return found;
    }
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        find_and_report(host, port, ends[1]);
    found.number = child < 0 ? errno : ETIMEDOUT;
    close(ends[1]);
    struct pollfd ready = {.fd = ends[0], .events = POLLIN};
    if (child > 0 && poll(&ready, 1, LOG_TARGET_NAME_MS) == 1) {
        found_t told;
        if (read(ends[0], &told, sizeof(told)) == (ssize_t)sizeof(told))
            found = told;
    }
    close(ends[0]);
    if (child > 0) {
        (void)kill(child, SIGKILL);
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    return found;
}

static int open_syslog(const char *text, const char **why)
{
    char host[CONF_LOG_HOST_MAX + 1];
    uint16_t port;
    if (conf_log_server(str_from(text), host, &port) != NULL) {
        *why = "it is not valid";
        return -1;
    }
    found_t found = find(host, port, AI_NUMERICHOST);
    if (found.error == EAI_NONAME)
        found = find_in_time(host, port);
    int fd = found.error == 0 ? connect_to(&found) : -1;
    if (fd < 0)
        *why = found.error == 0            ? strerror(errno)
               : found.error == EAI_SYSTEM ? strerror(found.number)
                                           : gai_strerror(found.error);
    return fd;
}

/* ---- all ---- */

/* Non-blocking: a pipe without a reader is an error instead of a wait, and one that is full does not keep its
 * writer from the next destination. */
static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
}

bool log_target_open(const conf_t *conf, line_target_t *target, char *error, size_t error_len)
{
    const char *text = conf->access_log, *why = NULL;
    *target = LINE_TARGET_NONE;
    switch (conf_log_kind(str_from(text))) {
    case CONF_LOG_OFF:
        return true;
    case CONF_LOG_STDOUT:
        target->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        break;
    case CONF_LOG_FILE:
        target->fd = open_file(text);
        break;
    case CONF_LOG_JOURNALD:
        *target = (line_target_t){log_journal_open(LOG_JOURNAL_SOCKET), LINE_JOURNAL};
        break;
    case CONF_LOG_SYSLOG:
        *target = (line_target_t){open_syslog(text, &why), LINE_SYSLOG};
    }
    if (target->fd >= 0)
        return true;
    (void)snprintf(error, error_len, "the access log %s cannot be opened: %s", text,
                   why != NULL ? why : strerror(errno));
    *target = LINE_TARGET_NONE;
    return false;
}

void log_target_close(line_target_t *target)
{
    if (target->fd >= 0)
        close(target->fd);
    *target = LINE_TARGET_NONE;
}
