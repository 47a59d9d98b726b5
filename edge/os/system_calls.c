/*
 * See system_calls.h. The list has the calls that a worker needs from PROCESS_READY to its exit, and no
 * others. A call that is not on it fails with EPERM. To find a missing one: `dmesg` has its number
 * (type=1326), and so has `strace -f -p WORKER -e status=failed`.
 *
 * The kernel remembers calls that are allowed with any arguments, and does not run the filter for them
 * (since Linux 5.11). So the calls of every request have no condition, if that is safe.
 */
#include "system_calls.h"

#include <stdio.h>

#ifdef BOXEDGE_SECCOMP

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/sockios.h>
#include <openssl/ssl.h>

#define COUNT_OF(list) (sizeof(list) / sizeof((list)[0]))
/* The type of socket(2) without SOCK_NONBLOCK and SOCK_CLOEXEC. */
#define SOCKET_TYPE_MASK 0xf
/* The flags of clone(2) are its first argument, but on s390. */
#ifdef __s390__
#define CLONE_FLAGS 1
#else
#define CLONE_FLAGS 0
#endif

/* ---- calls without a condition ---- */

static const int always[] = {
    /* The loop: it waits for sockets, and reads the clock if the vDSO cannot. */
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    /* Connections, and messages of the supervisor and the controller with their descriptors. No bind and no
     * listen: listening sockets come from the supervisor. */
    SCMP_SYS(accept4),
    SCMP_SYS(connect),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    /* Open descriptors: the access log, the log pipe, sealed memory with a new configuration. */
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(pread64),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(getdents64), /* of the worker's own /proc/self/fd, which is open already */
    SCMP_SYS(lseek),
    /* The spare descriptor of a listener (acceptor.c). */
    SCMP_SYS(eventfd2),
    /* Memory: jemalloc and the C library's malloc; the store's map when it has grown. */
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    SCMP_SYS(mremap),
    SCMP_SYS(munmap),
    /* The thread of the access log, which a reload may start and end. */
    SCMP_SYS(futex),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rseq),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_yield),
    SCMP_SYS(restart_syscall),
    /* Randomness of OpenSSL. */
    SCMP_SYS(getrandom),
    /* Harmless questions: reader slots of the store have the process id; qsort asks for the memory.
     */
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(sysinfo),
    /* The end, by exit or by abort of a failed assertion. */
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigaction),
#ifdef BOXEDGE_ASAN
    /* Sanitizers: reports, and the search for leaks at exit. That traces the process from a clone of it,
     * reads /proc/self, and tries addresses with a pipe. */
    SCMP_SYS(getdents),
    SCMP_SYS(getdents64),
    SCMP_SYS(getppid),
    SCMP_SYS(getrlimit),
    SCMP_SYS(kill),
    SCMP_SYS(lseek),
    SCMP_SYS(newfstatat),
    SCMP_SYS(pipe),
    SCMP_SYS(pipe2),
    SCMP_SYS(prctl),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(ptrace),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(wait4),
#endif
};

static bool add_always(scmp_filter_ctx filter)
{
    for (size_t i = 0; i < COUNT_OF(always); i++)
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, always[i], 0) != 0)
            return false;
    return true;
}

/* ---- calls with a condition ---- */

/* An int argument. The kernel ignores the upper half of its register. */
static struct scmp_arg_cmp is(unsigned arg, int value)
{
    return SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)value);
}

/* Allows `call` if argument `arg`, without the bits outside `mask`, is one of the values. */
static bool add_values(scmp_filter_ctx filter, int call, unsigned arg, uint64_t mask, const uint64_t *values,
                       size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
                             SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, values[i])) != 0)
            return false;
    return true;
}

/* TCP to boxes and servers. No Unix socket: neither the admin socket nor that of a container engine can be
 * reached, and no netlink, packet or raw socket. */
static bool add_sockets(scmp_filter_ctx filter)
{
    static const int families[] = {AF_INET, AF_INET6};
    for (size_t i = 0; i < COUNT_OF(families); i++)
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3, is(0, families[i]),
                             SCMP_A1(SCMP_CMP_MASKED_EQ, SOCKET_TYPE_MASK, SOCK_STREAM), is(2, 0)) != 0)
            return false;
    return true;
}

/* Options of conn.c, and no others: many of them reach code of the kernel that is seldom used. */
static bool add_socket_options(scmp_filter_ctx filter)
{
    static const struct {
        int level, option;
    } options[] = {
        {SOL_SOCKET, SO_LINGER},      {SOL_SOCKET, SO_RCVBUF},          {SOL_SOCKET, SO_KEEPALIVE},
        {IPPROTO_TCP, TCP_NODELAY},   {IPPROTO_TCP, TCP_NOTSENT_LOWAT}, {IPPROTO_TCP, TCP_KEEPIDLE},
        {IPPROTO_TCP, TCP_KEEPINTVL}, {IPPROTO_TCP, TCP_KEEPCNT},
    };
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2, is(1, options[i].level),
                             is(2, options[i].option)) != 0)
            return false;
    return true;
}

/* Duplicates and flags of descriptors; locks of LMDB's reader table. Bytes that wait in a socket. */
static bool add_descriptors(scmp_filter_ctx filter)
{
    static const uint64_t commands[] = {F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL,
                                        F_SETFL,         F_GETLK, F_SETLK};
    static const uint64_t requests[] = {FIONREAD, SIOCOUTQ, FIONBIO};
    /* The C library's fstat. With a path, it also shows sizes and times of files. */
    static const uint64_t flags[] = {AT_EMPTY_PATH};
    return add_values(filter, SCMP_SYS(fcntl), 1, UINT32_MAX, commands, COUNT_OF(commands)) &&
           add_values(filter, SCMP_SYS(ioctl), 1, UINT32_MAX, requests, COUNT_OF(requests)) &&
           add_values(filter, SCMP_SYS(newfstatat), 3, UINT32_MAX, flags, COUNT_OF(flags));
}

/* Memory that cannot be executed. */
static bool add_memory(scmp_filter_ctx filter)
{
    static const uint64_t zero[] = {0};
    return add_values(filter, SCMP_SYS(mmap), 2, PROT_EXEC, zero, 1) &&
           add_values(filter, SCMP_SYS(mprotect), 2, PROT_EXEC, zero, 1);
}

/*
 * This process only: a thread, but no process; its own limit of descriptors (descriptors.h); its title in
 * ps(1), which marks a draining worker (drain.c); the signal of abort. The flags of clone3 are in memory,
 * where a filter cannot look; the C library then uses clone.
 */
static bool add_process(scmp_filter_ctx filter)
{
    static const uint64_t thread[] = {CLONE_THREAD}, own[] = {0}, title[] = {PR_SET_NAME};
    const uint64_t pid[] = {(uint64_t)getpid()};
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0 &&
           add_values(filter, SCMP_SYS(clone), CLONE_FLAGS, CLONE_THREAD, thread, 1) &&
           add_values(filter, SCMP_SYS(prlimit64), 0, UINT32_MAX, own, 1) &&
           add_values(filter, SCMP_SYS(prctl), 0, UINT32_MAX, title, 1) &&
           add_values(filter, SCMP_SYS(tgkill), 0, UINT32_MAX, pid, 1);
}

#ifdef BOXEDGE_ASAN
/* Sanitizers read the program and /proc/self. Writing stays refused. */
static bool add_sanitizers(scmp_filter_ctx filter)
{
    static const uint64_t reading[] = {O_RDONLY}, tracer[] = {CLONE_VM | CLONE_UNTRACED};
    const uint64_t mask = O_ACCMODE | O_CREAT | O_TRUNC;
    return add_values(filter, SCMP_SYS(openat), 2, mask, reading, 1) &&
           add_values(filter, SCMP_SYS(open), 1, mask, reading, 1) &&
           add_values(filter, SCMP_SYS(clone), CLONE_FLAGS, CLONE_THREAD | CLONE_VM | CLONE_UNTRACED, tracer,
                      1);
}
#else
static bool add_sanitizers(scmp_filter_ctx filter)
{
    (void)filter;
    return true;
}
#endif

/* ---- the filter ---- */

static bool set_attributes(scmp_filter_ctx filter)
{
    /* Without the log the filter is as strict: kernels before 4.14 have none. The binary tree makes the
     * filter short. Otherwise kernels before 5.16 would slow down speculation in filtered processes. */
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    return seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) == 0 &&
           seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM)) == 0;
}

static bool add_all(scmp_filter_ctx filter)
{
    return add_always(filter) && add_sockets(filter) && add_socket_options(filter) &&
           add_descriptors(filter) && add_memory(filter) && add_process(filter) && add_sanitizers(filter);
}

/* The files of libraries that are opened when first needed. */
static void read_files(void)
{
    tzset();
    (void)OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG, NULL); /* an error shows when TLS is used */
}

bool system_calls_restrict(char *error, size_t error_len)
{
    read_files();
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (filter == NULL || !set_attributes(filter) || !add_all(filter)) {
        snprintf(error, error_len, "the filter cannot be made");
        seccomp_release(filter);
        return false;
    }
    int rc = seccomp_load(filter);
    seccomp_release(filter);
    if (rc != 0)
        snprintf(error, error_len, "the kernel takes no filter: %s", strerror(-rc));
    return rc == 0;
}

#else

bool system_calls_restrict(char *error, size_t error_len)
{
    snprintf(error, error_len, "the edge was built without it (BOXEDGE_SECCOMP)");
    return false;
}

#endif
