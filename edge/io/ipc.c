/*
 * See ipc.h. A message is one datagram: a fixed head, then the bytes. Descriptors travel as SCM_RIGHTS.
 */
#include "ipc.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAGIC 0x62786531u /* "bxe1" */

typedef struct head {
    uint32_t magic;
    uint32_t type;
    uint64_t value;
} head_t;

/* Room for the descriptors, aligned for cmsghdr. */
typedef union control {
    char room[CMSG_SPACE(IPC_FDS_MAX * sizeof(int))];
    struct cmsghdr align;
} control_t;

bool ipc_pair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0;
}

static ipc_result_t result_of_errno(void)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return IPC_AGAIN;
    return errno == EPIPE || errno == ECONNRESET ? IPC_CLOSED : IPC_FAILED;
}

ipc_result_t ipc_send(int fd, uint32_t type, uint64_t value, str_t bytes, const int *fds, size_t fd_count)
{
    assert(bytes.n <= IPC_BYTES_MAX && fd_count <= IPC_FDS_MAX);
    head_t head = {MAGIC, type, value};
    struct iovec iov[2] = {{&head, sizeof(head)}, {(void *)(uintptr_t)bytes.p, bytes.n}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = bytes.n > 0 ? 2 : 1};
    control_t control;

    if (fd_count > 0) {
        memset(&control, 0, sizeof(control));
        msg.msg_control = control.room;
        msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, fd_count * sizeof(int));
    }
    return sendmsg(fd, &msg, MSG_NOSIGNAL) < 0 ? result_of_errno() : IPC_OK;
}

/* Takes every received descriptor, so that a bad message leaks none. */
static void take_fds(struct msghdr *msg, ipc_message_t *message)
{
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        assert(message->fd_count + count <= IPC_FDS_MAX); /* the control buffer has no room for more */
        memcpy(message->fds + message->fd_count, CMSG_DATA(cmsg), count * sizeof(int));
        message->fd_count += count;
    }
}

ipc_result_t ipc_receive(int fd, ipc_message_t *message)
{
    head_t head;
    struct iovec iov[2] = {{&head, sizeof(head)}, {message->bytes, sizeof(message->bytes)}};
    control_t control;
    struct msghdr msg = {
        .msg_iov = iov, .msg_iovlen = 2, .msg_control = control.room, .msg_controllen = sizeof(control.room)};

    message->fd_count = 0;
    message->len = 0;
    ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    if (n < 0)
        return result_of_errno();
    if (n == 0)
        return IPC_CLOSED;
    take_fds(&msg, message);
    if ((size_t)n < sizeof(head) || head.magic != MAGIC || (msg.msg_flags & MSG_TRUNC) != 0) {
        ipc_message_fini(message);
        return IPC_FAILED;
    }
    message->type = head.type;
    message->value = head.value;
    if ((msg.msg_flags & MSG_CTRUNC) != 0) {
        ipc_message_fini(message);
        return IPC_LOST;
    }
    message->len = (size_t)n - sizeof(head);
    return IPC_OK;
}

void ipc_message_fini(ipc_message_t *message)
{
    for (size_t i = 0; i < message->fd_count; i++)
        if (message->fds[i] != -1)
            close(message->fds[i]);
    message->fd_count = 0;
}
