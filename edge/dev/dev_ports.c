#include "dev_ports.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

#define PROCESSES_MAX 65536
#define INODES_MAX    16384
#define LISTEN_STATE  0x0a
/* Bytes that show an answer. */
#define ANSWER_BYTES 5

/* ---- the tree ---- */

typedef struct parentage {
    pid_t pid;
    pid_t parent;
    bool inside;
} parentage_t;

/* The parent of a process; 0: it has ended. Its name, in parentheses, may contain any byte. */
static pid_t parent_of(const char *pid)
{
    char path[64], text[512];
    (void)snprintf(path, sizeof(path), "/proc/%.16s/stat", pid);
    FILE *file = fopen(path, "re");
    size_t n = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file != NULL)
        fclose(file);
    text[n] = '\0';
    const char *end = strrchr(text, ')');
    int parent = 0;
    return end != NULL && sscanf(end + 1, " %*c %d", &parent) == 1 ? (pid_t)parent : 0;
}

static size_t list_processes(parentage_t *all)
{
    size_t count = 0;
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    while (dir != NULL && count < PROCESSES_MAX && (entry = readdir(dir)) != NULL) {
        uint64_t pid;
        if (!str_to_uint(str_from(entry->d_name), INT32_MAX, &pid))
            continue;
        all[count] = (parentage_t){.pid = (pid_t)pid, .parent = parent_of(entry->d_name)};
        count += all[count].parent != 0;
    }
    if (dir != NULL)
        closedir(dir);
    return count;
}

static bool is_inside(const parentage_t *all, size_t count, pid_t pid)
{
    for (size_t i = 0; i < count; i++)
        if (all[i].pid == pid)
            return all[i].inside;
    return false;
}

static void mark(parentage_t *all, size_t count, pid_t root)
{
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < count; i++)
            if (!all[i].inside &&
                (all[i].pid == root || all[i].parent == root || is_inside(all, count, all[i].parent)))
                more = all[i].inside = true;
    }
}

/* Adds the sockets of one process. */
static size_t add_inodes(pid_t pid, unsigned long *inodes, size_t count)
{
    char path[64], target[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir != NULL && count < INODES_MAX && (entry = readdir(dir)) != NULL) {
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
        if (n <= 0)
            continue;
        target[n] = '\0';
        if (sscanf(target, "socket:[%lu]", &inodes[count]) == 1)
            count++;
    }
    if (dir != NULL)
        closedir(dir);
    return count;
}

static int by_number(const void *a, const void *b)
{
    unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;
    return (x > y) - (x < y);
}

/* ---- tables of sockets ---- */

static bool has_inode(const unsigned long *inodes, size_t count, unsigned long inode)
{
    return count != 0 && bsearch(&inode, inodes, count, sizeof(*inodes), by_number) != NULL;
}

/* The edge reaches a port at 127.0.0.1 before one at ::1, and both before other addresses. */
static unsigned rank(const dev_port_t *port)
{
    return port->outside ? 2 : port->v6;
}

static size_t add_port(dev_port_t *out, size_t count, dev_port_t port)
{
    size_t i = 0;
    while (i < count && out[i].port < port.port)
        i++;
    if (i < count && out[i].port == port.port) {
        if (rank(&port) < rank(&out[i]))
            out[i] = port;
        return count;
    }
    if (count == DEV_PORTS_MAX)
        return count;
    memmove(&out[i + 1], &out[i], (count - i) * sizeof(*out));
    out[i] = port;
    return count + 1;
}

/* A socket on all IPv6 addresses takes IPv4 too, unless it was told otherwise: an own line for IPv4 shows
 * that. */
static dev_port_t reach(const char *address, unsigned port)
{
    static const char any6[] = "00000000000000000000000000000000",
                      one6[] = "00000000000000000000000001000000";
    static const char mapped[] = "0000000000000000FFFF0000";
    bool v6 = strlen(address) == 32;
    bool is_mapped = v6 && strncmp(address, mapped, 24) == 0;
    const char *v4 = is_mapped ? address + 24 : address;
    bool here4 = (!v6 || is_mapped) && (strcmp(v4, "00000000") == 0 || strcmp(v4 + 6, "7F") == 0);
    bool here6 = v6 && (strcmp(address, any6) == 0 || strcmp(address, one6) == 0);
    return (dev_port_t){.port = (uint16_t)port, .v6 = here6, .outside = !here4 && !here6};
}

static size_t parse_table(const char *text, const unsigned long *inodes, size_t inode_count, dev_port_t *out,
                          size_t count)
{
    for (const char *line = text; line != NULL && *line != '\0';) {
        char address[33];
        unsigned port, state;
        unsigned long inode;
        if (sscanf(line, " %*u: %32[0-9A-F]:%4x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu", address,
                   &port, &state, &inode) == 4 &&
            state == LISTEN_STATE && port != 0 && (strlen(address) == 8 || strlen(address) == 32) &&
            has_inode(inodes, inode_count, inode))
            count = add_port(out, count, reach(address, port));
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return count;
}

size_t dev_ports_parse(const char *tcp, const char *tcp6, const unsigned long *inodes, size_t inode_count,
                       dev_port_t out[DEV_PORTS_MAX])
{
    size_t count = parse_table(tcp, inodes, inode_count, out, 0);
    return parse_table(tcp6, inodes, inode_count, out, count);
}

/* A file of /proc as text, to be freed; NULL if it cannot be read. */
static char *read_proc(const char *path)
{
    char *text = NULL;
    size_t room = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return NULL;
    if (getdelim(&text, &room, '\0', file) < 0) {
        free(text);
        text = NULL;
    }
    fclose(file);
    return text;
}

size_t dev_ports_find(pid_t root, dev_port_t out[DEV_PORTS_MAX])
{
    parentage_t *all = calloc(PROCESSES_MAX, sizeof(*all));
    unsigned long *inodes = calloc(INODES_MAX, sizeof(*inodes));
    assert(all != NULL && inodes != NULL);
    size_t count = list_processes(all), inode_count = 0, found = 0;
    mark(all, count, root);
    for (size_t i = 0; i < count; i++)
        if (all[i].inside)
            inode_count = add_inodes(all[i].pid, inodes, inode_count);
    qsort(inodes, inode_count, sizeof(*inodes), by_number);
    if (inode_count != 0) {
        char *tcp = read_proc("/proc/net/tcp"), *tcp6 = read_proc("/proc/net/tcp6");
        found = dev_ports_parse(tcp, tcp6, inodes, inode_count, out);
        free(tcp);
        free(tcp6);
    }
    free(inodes);
    free(all);
    return found;
}

/* ---- connections ---- */

static int open_connection(uint16_t port, bool v6, uint64_t until_ms)
{
    struct sockaddr_in a4 = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 a6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback};
    int error = 0, fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t len = sizeof(error);
    if (fd < 0)
        return -1;
    int result = v6 ? connect(fd, (const struct sockaddr *)&a6, sizeof(a6))
                    : connect(fd, (const struct sockaddr *)&a4, sizeof(a4));
    struct pollfd writable = {.fd = fd, .events = POLLOUT};
    uint64_t now = clock_now_ms();
    if (result == 0 ||
        (errno == EINPROGRESS && poll(&writable, 1, until_ms > now ? (int)(until_ms - now) : 0) == 1 &&
         getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0))
        return fd;
    close(fd);
    return -1;
}

bool dev_ports_is_taken(uint16_t port, dev_port_t *out)
{
    for (int v6 = 0; v6 < 2; v6++) {
        int fd = open_connection(port, v6 != 0, clock_now_ms() + 500);
        if (fd >= 0) {
            close(fd);
            if (out != NULL)
                *out = (dev_port_t){.port = port, .v6 = v6 != 0};
            return true;
        }
    }
    return false;
}

bool dev_ports_speaks_http(const dev_port_t *port, int timeout_ms)
{
    char request[128], answer[ANSWER_BYTES];
    size_t got = 0;
    uint64_t until = clock_now_ms() + (uint64_t)timeout_ms;
    int fd = port->outside ? -1 : open_connection(port->port, port->v6, until);
    if (fd < 0)
        return false;
    int len = snprintf(request, sizeof(request),
                       "HEAD / HTTP/1.1\r\nHost: localhost:%u\r\nConnection: close\r\n\r\n", port->port);
    bool sent = send(fd, request, (size_t)len, MSG_NOSIGNAL) == len;
    while (sent && got < ANSWER_BYTES) {
        uint64_t now = clock_now_ms();
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        ssize_t n = now < until && poll(&readable, 1, (int)(until - now)) == 1
                        ? recv(fd, answer + got, ANSWER_BYTES - got, 0)
                        : -1;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    close(fd);
    return got == ANSWER_BYTES && memcmp(answer, "HTTP/", ANSWER_BYTES) == 0;
}
