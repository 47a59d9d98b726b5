/* See system_acts.h. */
#include "system_acts.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/filter.h>

static char *const no_arguments[] = {NULL};

static long open_writing(const acts_world_t *world)
{
    (void)world;
    return open("/tmp/boxedge-filter", O_WRONLY | O_CREAT, 0600);
}

static long create(const acts_world_t *world)
{
    (void)world;
    return creat("/tmp/boxedge-filter", 0600);
}

static long open_how(const acts_world_t *world)
{
    (void)world;
    const uint64_t how[3] = {O_RDONLY, 0, 0};
    return syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", how, sizeof(how));
}

static long open_handle(const acts_world_t *world)
{
    (void)world;
    return syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, O_RDONLY);
}

static long move(const acts_world_t *world)
{
    (void)world;
    return rename("/tmp/boxedge-filter", "/tmp/boxedge-filter2");
}

static long remove_file(const acts_world_t *world)
{
    (void)world;
    return unlink("/tmp/boxedge-filter");
}

static long make_directory(const acts_world_t *world)
{
    (void)world;
    return mkdir("/tmp/boxedge-filter", 0700);
}

static long change_mode(const acts_world_t *world)
{
    return fchmod(world->file, 0777);
}

static long truncate_file(const acts_world_t *world)
{
    return ftruncate(world->file, 0);
}

static long execute(const acts_world_t *world)
{
    (void)world;
    return execve("/bin/true", no_arguments, no_arguments);
}

static long execute_at(const acts_world_t *world)
{
    (void)world;
    return syscall(SYS_execveat, AT_FDCWD, "/bin/true", no_arguments, no_arguments, 0);
}

static long fork_raw(const acts_world_t *world)
{
    (void)world;
    long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(0);
    return pid;
}

static long unix_socket(const acts_world_t *world)
{
    (void)world;
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static long unix_pair(const acts_world_t *world)
{
    (void)world;
    int fds[2];
    return socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
}

static long netlink_socket(const acts_world_t *world)
{
    (void)world;
    return socket(AF_NETLINK, SOCK_RAW, 0);
}

static long packet_socket(const acts_world_t *world)
{
    (void)world;
    return socket(AF_PACKET, SOCK_RAW, 0);
}

static long raw_socket(const acts_world_t *world)
{
    (void)world;
    return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static long datagram_socket(const acts_world_t *world)
{
    (void)world;
    return socket(AF_INET6, SOCK_DGRAM, 0);
}

static long other_protocol(const acts_world_t *world)
{
    (void)world;
    return socket(AF_INET, SOCK_STREAM, 132 /* SCTP */);
}

static long bind_socket(const acts_world_t *world)
{
    const struct sockaddr_in any = {.sin_family = AF_INET};
    return bind(world->listener, (const struct sockaddr *)&any, sizeof(any));
}

static long listen_again(const acts_world_t *world)
{
    return listen(world->listener, 1);
}

static long attach_program(const acts_world_t *world)
{
    struct sock_filter accept = BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
    const struct sock_fprog program = {.len = 1, .filter = &accept};
    return setsockopt(world->listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static long map_executable(const acts_world_t *world)
{
    (void)world;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? -1 : 0;
}

static long make_executable(const acts_world_t *world)
{
    return mprotect(world->page, 4096, PROT_READ | PROT_EXEC);
}

static long make_executable_by_key(const acts_world_t *world)
{
    return syscall(SYS_pkey_mprotect, world->page, 4096, PROT_READ | PROT_EXEC, -1);
}

static long executable_later(const acts_world_t *world)
{
    (void)world;
    return syscall(SYS_personality, 0x0400000 /* READ_IMPLIES_EXEC */);
}

static long memory_file(const acts_world_t *world)
{
    (void)world;
    return memfd_create("filter", 0);
}

static long write_memory(const acts_world_t *world)
{
    const struct iovec nothing = {world->page, 1};
    return process_vm_writev(world->stranger, &nothing, 1, &nothing, 1, 0);
}

static long signal_stranger(const acts_world_t *world)
{
    return syscall(SYS_tgkill, world->stranger, world->stranger, 0);
}

static long queue_signal(const acts_world_t *world)
{
    return syscall(SYS_rt_sigqueueinfo, world->stranger, 0, NULL);
}

static long limit_stranger(const acts_world_t *world)
{
    struct rlimit limit;
    return prlimit(world->stranger, RLIMIT_NOFILE, NULL, &limit);
}

static long take_descriptor(const acts_world_t *world)
{
    return syscall(SYS_pidfd_open, world->stranger, 0);
}

static long mount_something(const acts_world_t *world)
{
    (void)world;
    return mount("none", "/tmp", "tmpfs", 0, NULL);
}

static long leave_namespace(const acts_world_t *world)
{
    (void)world;
    return unshare(CLONE_NEWUSER);
}

static long type_into_terminal(const acts_world_t *world)
{
    return ioctl(world->file, TIOCSTI, "x");
}

static long call_bpf(const acts_world_t *world)
{
    (void)world;
    return syscall(SYS_bpf, 0, NULL, 0);
}

static long call_io_uring(const acts_world_t *world)
{
    (void)world;
    return syscall(SYS_io_uring_setup, 1, NULL);
}

static long call_keyctl(const acts_world_t *world)
{
    (void)world;
    return syscall(SYS_keyctl, 0, 0, 0, 0, 0);
}

static long call_userfaultfd(const acts_world_t *world)
{
    (void)world;
    return syscall(SYS_userfaultfd, 0);
}

static long call_perf(const acts_world_t *world)
{
    (void)world;
    return syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0);
}

static long call_unknown(const acts_world_t *world)
{
    (void)world;
    return syscall(9999);
}

#ifndef BOXEDGE_ASAN
static long open_reading(const acts_world_t *world)
{
    (void)world;
    return open("/etc/passwd", O_RDONLY);
}

static long look_at_file(const acts_world_t *world)
{
    (void)world;
    struct stat st;
    return stat("/etc/passwd", &st);
}

static long kill_stranger(const acts_world_t *world)
{
    return kill(world->stranger, 0);
}

static long trace(const acts_world_t *world)
{
    return ptrace(PTRACE_ATTACH, world->stranger, NULL, NULL);
}

static long read_memory(const acts_world_t *world)
{
    const struct iovec nothing = {world->page, 1};
    return process_vm_readv(world->stranger, &nothing, 1, &nothing, 1, 0);
}

static long allow_dumps(const acts_world_t *world)
{
    (void)world;
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}
#endif

const forbidden_act_t forbidden_acts[] = {
    {"open for writing", open_writing},
    {"creat", create},
    {"openat2", open_how},
    {"open_by_handle_at", open_handle},
    {"rename", move},
    {"unlink", remove_file},
    {"mkdir", make_directory},
    {"fchmod", change_mode},
    {"ftruncate", truncate_file},
    {"execve", execute},
    {"execveat", execute_at},
    {"clone without CLONE_THREAD", fork_raw},
    {"AF_UNIX", unix_socket},
    {"socketpair", unix_pair},
    {"AF_NETLINK", netlink_socket},
    {"AF_PACKET", packet_socket},
    {"SOCK_RAW", raw_socket},
    {"SOCK_DGRAM", datagram_socket},
    {"SCTP", other_protocol},
    {"bind", bind_socket},
    {"listen", listen_again},
    {"SO_ATTACH_FILTER", attach_program},
    {"mmap with PROT_EXEC", map_executable},
    {"mprotect with PROT_EXEC", make_executable},
    {"pkey_mprotect", make_executable_by_key},
    {"personality", executable_later},
    {"memfd_create", memory_file},
    {"process_vm_writev", write_memory},
    {"tgkill of another process", signal_stranger},
    {"rt_sigqueueinfo", queue_signal},
    {"prlimit of another process", limit_stranger},
    {"pidfd_open", take_descriptor},
    {"mount", mount_something},
    {"unshare", leave_namespace},
    {"TIOCSTI", type_into_terminal},
    {"bpf", call_bpf},
    {"io_uring_setup", call_io_uring},
    {"keyctl", call_keyctl},
    {"userfaultfd", call_userfaultfd},
    {"perf_event_open", call_perf},
    {"an unknown call", call_unknown},
#ifndef BOXEDGE_ASAN /* sanitizers need these */
    {"open for reading", open_reading},
    {"stat", look_at_file},
    {"kill", kill_stranger},
    {"ptrace", trace},
    {"process_vm_readv", read_memory},
    {"PR_SET_DUMPABLE", allow_dumps},
#endif
    {NULL, NULL},
};
