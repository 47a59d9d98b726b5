/* See system_acts.h. */
#include "system_acts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <openssl/rand.h>

bool acts_open(acts_world_t *world, pid_t stranger)
{
    FILE *file = tmpfile();
    socklen_t len = sizeof(world->listens);
    *world = (acts_world_t){.file = file != NULL ? fileno(file) : -1, .stranger = stranger};
    world->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    world->listens = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    world->epoll = epoll_create1(0);
    world->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return world->file >= 0 && write(world->file, "bytes", 5) == 5 && world->page != MAP_FAILED &&
           bind(world->listener, (const struct sockaddr *)&world->listens, len) == 0 &&
           listen(world->listener, 8) == 0 &&
           getsockname(world->listener, (struct sockaddr *)&world->listens, &len) == 0 &&
           socketpair(AF_UNIX, SOCK_SEQPACKET, 0, world->pair) == 0;
}

static bool connect_by_tcp(const acts_world_t *world)
{
    const int on = 1;
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    char byte = 'x';
    int waiting = -1, error = -1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0;
    good = good && (connect(fd, (const struct sockaddr *)&world->listens, sizeof(world->listens)) == 0 ||
                    errno == EINPROGRESS);
    struct pollfd wait = {.fd = world->listener, .events = POLLIN};
    good = good && poll(&wait, 1, -1) == 1;
    int accepted = accept4(world->listener, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    wait = (struct pollfd){.fd = fd, .events = POLLOUT};
    good = good && accepted >= 0 && poll(&wait, 1, -1) == 1;
    len = sizeof(error);
    good = good && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0 &&
           send(fd, &byte, 1, MSG_NOSIGNAL) == 1;
    wait = (struct pollfd){.fd = accepted, .events = POLLIN};
    good = good && poll(&wait, 1, -1) == 1 && ioctl(accepted, FIONREAD, &waiting) == 0 && waiting == 1 &&
           recv(accepted, &byte, 1, 0) == 1 && ioctl(fd, SIOCOUTQ, &waiting) == 0 &&
           shutdown(fd, SHUT_WR) == 0;
    return good && close(fd) == 0 && close(accepted) == 0;
}

static bool make_tcp6(const acts_world_t *world)
{
    (void)world;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd >= 0 ? close(fd) == 0 : errno == EAFNOSUPPORT;
}

static bool pass_descriptor(const acts_world_t *world)
{
    char byte = 'x', room[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &world->file, sizeof(int));
    if (sendmsg(world->pair[0], &message, MSG_NOSIGNAL) != 1)
        return false;
    message.msg_controllen = sizeof(room);
    int fd = -1;
    if (recvmsg(world->pair[1], &message, MSG_CMSG_CLOEXEC) != 1 || (head = CMSG_FIRSTHDR(&message)) == NULL)
        return false;
    memcpy(&fd, CMSG_DATA(head), sizeof(int));
    struct stat st;
    return fstat(fd, &st) == 0 && pread(fd, &byte, 1, 0) == 1 && write(fd, "x", 1) == 1 && close(fd) == 0;
}

static bool wait_for_events(const acts_world_t *world)
{
    int fd = eventfd(1, EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    bool good = fd >= 0 && epoll_ctl(world->epoll, EPOLL_CTL_ADD, fd, &event) == 0 &&
                epoll_wait(world->epoll, &event, 1, 1000) == 1;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return good && copy >= 0 && fcntl(copy, F_SETFL, O_NONBLOCK) == 0 && close(copy) == 0 && close(fd) == 0;
}

static void *do_nothing(void *arg)
{
    return arg;
}

static bool start_thread(const acts_world_t *world)
{
    pthread_t thread;
    void *got = NULL;
    return pthread_create(&thread, NULL, do_nothing, &world) == 0 && pthread_join(thread, &got) == 0 &&
           got == &world;
}

static bool use_memory(const acts_world_t *world)
{
    char *bytes = malloc(64u << 20);
    if (bytes == NULL)
        return false;
    memset(bytes, 1, 64u << 20);
    bytes = realloc(bytes, 128u << 20);
    free(bytes);
    void *file = mmap(NULL, 4096, PROT_READ, MAP_SHARED, world->file, 0);
    return bytes != NULL && file != MAP_FAILED && mprotect(world->page, 4096, PROT_READ) == 0 &&
           mprotect(world->page, 4096, PROT_READ | PROT_WRITE) == 0 && munmap(file, 4096) == 0;
}

static int compare(const void *x, const void *y)
{
    return *(const int *)x - *(const int *)y;
}

static bool sort_much(const acts_world_t *world)
{
    (void)world;
    enum { COUNT = 100000 };
    int *numbers = malloc(COUNT * sizeof(*numbers));
    if (numbers == NULL)
        return false;
    for (int i = 0; i < COUNT; i++)
        numbers[i] = COUNT - i;
    qsort(numbers, COUNT, sizeof(*numbers), compare);
    bool sorted = numbers[0] == 1 && numbers[COUNT - 1] == COUNT;
    free(numbers);
    return sorted;
}

static bool get_randomness(const acts_world_t *world)
{
    (void)world;
    unsigned char bytes[32];
    return RAND_bytes(bytes, sizeof(bytes)) == 1;
}

static bool tell_the_time(const acts_world_t *world)
{
    (void)world;
    time_t now = time(NULL);
    struct tm tm;
    struct timespec at;
    return localtime_r(&now, &tm) != NULL && gmtime_r(&now, &tm) != NULL &&
           clock_gettime(CLOCK_MONOTONIC, &at) == 0;
}

static bool move_own_limit(const acts_world_t *world)
{
    (void)world;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static bool change_title(const acts_world_t *world)
{
    (void)world;
    return prctl(PR_SET_NAME, "old-worker-0", 0, 0, 0) == 0;
}

static bool lock_readers(const acts_world_t *world)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    return fcntl(world->file, F_SETLK, &lock) == 0;
}

const needed_act_t needed_acts[] = {
    {"TCP", connect_by_tcp},
    {"TCP over IPv6", make_tcp6},
    {"descriptors in messages", pass_descriptor},
    {"events", wait_for_events},
    {"a thread", start_thread},
    {"memory", use_memory},
    {"qsort", sort_much},
    {"randomness", get_randomness},
    {"time", tell_the_time},
    {"the limit of descriptors", move_own_limit},
    {"its title", change_title},
    {"locks of readers", lock_readers},
    {NULL, NULL},
};
