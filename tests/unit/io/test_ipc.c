/* Messages and descriptors between processes, and the channel that delivers them on a loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel.h"
#include "ipc.h"
#include "memfile.h"

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static bool same_file(int a, int b)
{
    struct stat x, y;
    assert_int_equal(fstat(a, &x), 0);
    assert_int_equal(fstat(b, &y), 0);
    return x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static void a_message_comes_whole(void **state)
{
    (void)state;
    int pair[2];
    static char bytes[IPC_BYTES_MAX];
    static ipc_message_t message;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    assert_true(ipc_pair(pair));
    assert_int_equal(ipc_receive(pair[1], &message), IPC_AGAIN);
    assert_int_equal(ipc_send(pair[0], 7, UINT64_MAX, str_make(bytes, sizeof(bytes)), NULL, 0), IPC_OK);
    assert_int_equal(ipc_send(pair[0], 8, 0, STR(""), NULL, 0), IPC_OK);
    assert_int_equal(ipc_receive(pair[1], &message), IPC_OK);
    assert_int_equal(message.type, 7);
    assert_true(message.value == UINT64_MAX);
    assert_int_equal(message.len, sizeof(bytes));
    assert_memory_equal(message.bytes, bytes, sizeof(bytes));
    assert_int_equal(message.fd_count, 0);
    assert_int_equal(ipc_receive(pair[1], &message), IPC_OK);
    assert_int_equal(message.type, 8);
    assert_int_equal(message.len, 0);
    close(pair[0]);
    assert_int_equal(ipc_receive(pair[1], &message), IPC_CLOSED);
    assert_int_equal(ipc_send(pair[1], 1, 0, STR(""), NULL, 0), IPC_CLOSED);
    close(pair[1]);
}

static void descriptors_pass_up_to_the_bound(void **state)
{
    (void)state;
    int pair[2], fds[IPC_FDS_MAX];
    static ipc_message_t message;
    unsigned before = open_descriptors();
    assert_true(ipc_pair(pair));
    for (int i = 0; i < IPC_FDS_MAX; i++)
        fds[i] = memfile_write("test", NULL, 0);
    assert_int_equal(ipc_send(pair[0], 1, 2, STR("x"), fds, IPC_FDS_MAX), IPC_OK);
    assert_int_equal(ipc_receive(pair[1], &message), IPC_OK);
    assert_int_equal(message.fd_count, IPC_FDS_MAX);
    for (int i = 0; i < IPC_FDS_MAX; i++) {
        assert_int_not_equal(message.fds[i], fds[i]);
        assert_true(same_file(message.fds[i], fds[i]));
        assert_int_equal(fcntl(message.fds[i], F_GETFD), FD_CLOEXEC);
        close(fds[i]);
    }
    int kept = message.fds[3];
    message.fds[3] = -1;
    ipc_message_fini(&message);
    assert_true(fcntl(kept, F_GETFD) >= 0);
    close(kept);
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(open_descriptors(), before);
}

/* A malformed message is refused whole, and its descriptors are closed. */
static void foreign_datagrams_leave_nothing(void **state)
{
    (void)state;
    int pair[2], fd = open("/dev/null", O_RDONLY);
    static ipc_message_t message;
    static char big[IPC_BYTES_MAX + 17];
    assert_true(ipc_pair(pair));
    unsigned before = open_descriptors();
    const size_t lengths[] = {1, 15, 16, sizeof(big)};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        union {
            char room[CMSG_SPACE(sizeof(int))];
            struct cmsghdr align;
        } control = {{0}};
        struct iovec iov = {big, lengths[i]};
        struct msghdr msg = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof(control.room)};
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
        assert_true(sendmsg(pair[0], &msg, 0) > 0);
        assert_int_equal(ipc_receive(pair[1], &message), IPC_FAILED);
        assert_int_equal(message.fd_count, 0);
        assert_int_equal(open_descriptors(), before);
    }
    close(fd);
    close(pair[0]);
    close(pair[1]);
}

static void a_peer_that_does_not_read_is_no_wait(void **state)
{
    (void)state;
    int pair[2];
    static char bytes[IPC_BYTES_MAX];
    unsigned sent = 0;
    assert_true(ipc_pair(pair));
    ipc_result_t result;
    while ((result = ipc_send(pair[0], 1, 0, str_make(bytes, sizeof(bytes)), NULL, 0)) == IPC_OK)
        assert_true(++sent < 10000);
    assert_int_equal(result, IPC_AGAIN);
    close(pair[0]);
    close(pair[1]);
}

/* ---- memory files ---- */

static void a_memory_file_cannot_be_changed(void **state)
{
    (void)state;
    const str_t parts[] = {STR("one"), STR(""), STR("two")};
    size_t len;
    int fd = memfile_write("test", parts, 3);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "X", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 1), -1);
    assert_int_equal(lseek(fd, 4, SEEK_SET), 4); /* the offset does not matter */
    char *bytes = memfile_read(fd, &len);
    assert_non_null(bytes);
    assert_int_equal(len, 6);
    assert_string_equal(bytes, "onetwo");
    memfile_release(&bytes, len);
    assert_null(bytes);
    close(fd);
}

static void a_memory_file_has_a_bound(void **state)
{
    (void)state;
    static char big[MEMFILE_MAX];
    const str_t whole = str_make(big, sizeof(big)), parts[] = {whole, STR("x")};
    size_t len;
    int fd = memfile_write("test", &whole, 1);
    assert_true(fd >= 0);
    char *bytes = memfile_read(fd, &len);
    assert_int_equal(len, MEMFILE_MAX);
    memfile_release(&bytes, len);
    close(fd);
    assert_int_equal(memfile_write("test", parts, 2), -1);
}

/* ---- channels ---- */

typedef struct listener {
    channel_t *channel;
    unsigned messages, closed;
    uint64_t last;
    bool free_in_message;
} listener_t;

static void on_message(void *owner, ipc_message_t *message)
{
    listener_t *listener = owner;
    listener->messages++;
    listener->last = message->value;
    if (listener->free_in_message)
        channel_free(&listener->channel);
}

static void on_closed(void *owner)
{
    listener_t *listener = owner;
    listener->closed++;
    channel_free(&listener->channel);
}

static const channel_handlers_t handlers = {.message = on_message, .closed = on_closed};

static void a_channel_gives_all_messages_then_the_end(void **state)
{
    (void)state;
    int pair[2];
    loop_t *loop = loop_new();
    listener_t listener = {.channel = NULL};
    assert_true(ipc_pair(pair));
    listener.channel = channel_new(loop, pair[1], &handlers, &listener);
    for (unsigned i = 1; i <= 100; i++) /* more than one turn takes */
        assert_int_equal(ipc_send(pair[0], 1, i, STR(""), NULL, 0), IPC_OK);
    close(pair[0]);
    for (int i = 0; i < 200 && listener.closed == 0; i++)
        loop_turn(loop, 100);
    assert_int_equal(listener.messages, 100);
    assert_int_equal(listener.last, 100);
    assert_int_equal(listener.closed, 1);
    assert_null(listener.channel);
    loop_free(&loop);
}

static void a_channel_can_be_freed_by_its_handler(void **state)
{
    (void)state;
    int pair[2];
    loop_t *loop = loop_new();
    listener_t listener = {.free_in_message = true};
    assert_true(ipc_pair(pair));
    listener.channel = channel_new(loop, pair[1], &handlers, &listener);
    for (unsigned i = 1; i <= 3; i++)
        assert_int_equal(ipc_send(pair[0], 1, i, STR(""), NULL, 0), IPC_OK);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 0);
    assert_int_equal(listener.messages, 1);
    assert_int_equal(ipc_send(pair[0], 1, 4, STR(""), NULL, 0), IPC_CLOSED);
    close(pair[0]);
    loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_whole),
        cmocka_unit_test(descriptors_pass_up_to_the_bound),
        cmocka_unit_test(foreign_datagrams_leave_nothing),
        cmocka_unit_test(a_peer_that_does_not_read_is_no_wait),
        cmocka_unit_test(a_memory_file_cannot_be_changed),
        cmocka_unit_test(a_memory_file_has_a_bound),
        cmocka_unit_test(a_channel_gives_all_messages_then_the_end),
        cmocka_unit_test(a_channel_can_be_freed_by_its_handler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
