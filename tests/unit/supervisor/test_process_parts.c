/* The lock file, listening sockets, directories, and messages between processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "listener_set.h"
#include "lockfile.h"
#include "privileges.h"
#include "process.h"

static char dir[64];
static char error[512];
static const listener_sources_t nothing_open;

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/boxedge-test-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static void in_dir(char out[128], const char *name)
{
    snprintf(out, 128, "%s/%s", dir, name);
}

static int tear_down(void **state)
{
    (void)state;
    char path[128];
    const char *names[] = {"lock", "sock", "file", "a/b/c", "a/b", "a"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        in_dir(path, names[i]);
        (void)remove(path);
    }
    return rmdir(dir);
}

/* ---- lock ---- */

static void the_second_is_refused_by_name(void **state)
{
    (void)state;
    char path[128], pid[24];
    in_dir(path, "lock");
    int fd = lockfile_acquire(path, "run_dir", error, sizeof(error));
    assert_true(fd >= 0);
    snprintf(pid, sizeof(pid), "process %d", (int)getpid());
    /* The same process through another open is another holder. */
    assert_int_equal(lockfile_acquire(path, "run_dir", error, sizeof(error)), -1);
    assert_non_null(strstr(error, "another boxedge is running"));
    assert_non_null(strstr(error, pid));
    close(fd);
    fd = lockfile_acquire(path, "run_dir", error, sizeof(error));
    assert_true(fd >= 0);
    close(fd);
}

/* As in a handover: the lock is held for as long as any process has the descriptor. */
static void the_lock_passes_to_a_child(void **state)
{
    (void)state;
    char path[128];
    int go[2];
    in_dir(path, "lock");
    int fd = lockfile_acquire(path, "run_dir", error, sizeof(error));
    assert_int_equal(pipe(go), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        lockfile_sign(fd);
        close(go[1]);
        _exit(read(go[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(fd);
    close(go[0]);
    assert_int_equal(lockfile_acquire(path, "run_dir", error, sizeof(error)), -1);
    close(go[1]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    fd = lockfile_acquire(path, "run_dir", error, sizeof(error));
    assert_true(fd >= 0);
    close(fd);
}

static void a_link_is_not_followed(void **state)
{
    (void)state;
    char path[128], target[128];
    in_dir(path, "lock");
    in_dir(target, "file");
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(lockfile_acquire(path, "run_dir", error, sizeof(error)), -1);
    assert_int_equal(access(target, F_OK), -1);
}

/* ---- listening ---- */

/* A configuration with these loopback ports. */
static conf_t *make_conf(conf_listener_t *listeners, const uint16_t *ports, size_t count, unsigned workers)
{
    static conf_t conf;
    conf = (conf_t){.listeners = listeners, .listener_count = count, .workers = workers};
    for (size_t i = 0; i < count; i++) {
        struct sockaddr_in *in = (struct sockaddr_in *)&listeners[i].address.sa;
        listeners[i] = (conf_listener_t){.kind = CONF_LISTENER_PLAIN};
        in->sin_family = AF_INET;
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        in->sin_port = htons(ports[i]);
        listeners[i].address.len = sizeof(*in);
        snprintf(listeners[i].text, sizeof(listeners[i].text), "127.0.0.1:%u", ports[i]);
    }
    return &conf;
}

/* Ports that are free now. */
static void free_ports(uint16_t *ports, size_t count)
{
    int fds[8];
    for (size_t i = 0; i < count; i++) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(in);
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(fds[i], (struct sockaddr *)&in, sizeof(in)), 0);
        assert_int_equal(getsockname(fds[i], (struct sockaddr *)&in, &len), 0);
        ports[i] = ntohs(in.sin_port);
    }
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void one_socket_for_each_worker_and_address(void **state)
{
    (void)state;
    conf_listener_t listeners[2];
    uint16_t ports[2];
    free_ports(ports, 2);
    const conf_t *conf = make_conf(listeners, ports, 2, 3);
    listener_set_t *set = listener_set_open(conf, &nothing_open, 0, error, sizeof(error));
    assert_non_null(set);
    assert_int_equal(set->count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(set->at[i].count, 3);
        int client = connect_to(ports[i]);
        assert_true(client >= 0);
        close(client);
    }
    listener_set_free(&set);
    assert_int_equal(connect_to(ports[0]), -1);
}

/* SO_REUSEPORT would let two edges share a port without either noticing. */
static void a_port_that_is_taken_is_an_error(void **state)
{
    (void)state;
    conf_listener_t listeners[2], others[1];
    uint16_t ports[2];
    free_ports(ports, 2);
    listener_set_t *first =
        listener_set_open(make_conf(others, &ports[1], 1, 2), &nothing_open, 0, error, sizeof(error));
    assert_non_null(first);
    const conf_t *conf = make_conf(listeners, ports, 2, 2);
    assert_null(listener_set_open(conf, &nothing_open, 0, error, sizeof(error)));
    assert_non_null(strstr(error, listeners[1].text));
    assert_int_equal(connect_to(ports[0]), -1); /* opened sockets were closed */
    listener_set_free(&first);
    listener_set_t *second = listener_set_open(conf, &nothing_open, 0, error, sizeof(error));
    assert_non_null(second);
    listener_set_free(&second);
}

/* A reload keeps the connections in a queue: the socket is the same one. */
static void a_queue_outlives_the_set_it_began_in(void **state)
{
    (void)state;
    conf_listener_t listeners[2];
    uint16_t ports[2];
    free_ports(ports, 2);
    listener_set_t *old =
        listener_set_open(make_conf(listeners, ports, 1, 1), &nothing_open, 0, error, sizeof(error));
    int client = connect_to(ports[0]);
    assert_true(client >= 0);
    listener_set_t *next = listener_set_open(make_conf(listeners, ports, 2, 2),
                                             &(listener_sources_t){.old = old}, 0, error, sizeof(error));
    assert_non_null(next);
    listener_set_free(&old);
    struct pollfd ready = {.fd = next->at[0].fds[0], .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 30000), 1);
    int accepted = accept(next->at[0].fds[0], NULL, NULL);
    assert_true(accepted >= 0);
    close(accepted);
    close(client);
    listener_set_free(&next);
}

static void only_listening_sockets_are_adopted(void **state)
{
    (void)state;
    conf_listener_t listeners[1];
    uint16_t port;
    free_ports(&port, 1);
    const conf_t *conf = make_conf(listeners, &port, 1, 2);
    listener_set_t *theirs = listener_set_open(conf, &nothing_open, 0, error, sizeof(error));
    listener_set_t *ours = listener_set_new(1);
    assert_true(listener_set_adopt(ours, listeners[0].text, 1, dup(theirs->at[0].fds[1])));
    assert_false(listener_set_adopt(ours, listeners[0].text, 1, dup(theirs->at[0].fds[1]))); /* fits */
    assert_false(listener_set_adopt(ours, "127.0.0.1:1", 0, dup(theirs->at[0].fds[0])));     /* no room */
    assert_false(listener_set_adopt(ours, listeners[0].text, SHM_WORKERS_MAX, dup(theirs->at[0].fds[0])));
    assert_false(listener_set_adopt(ours, listeners[0].text, 0, open("/dev/null", O_RDONLY)));
    listener_set_free(&theirs);
    /* Worker 0 had no socket: it gets one beside that of worker 1. */
    listener_set_t *set =
        listener_set_open(conf, &(listener_sources_t){.old = ours}, 0, error, sizeof(error));
    assert_non_null(set);
    assert_int_equal(set->at[0].count, 2);
    listener_set_free(&ours);
    listener_set_free(&set);
}

static void the_admin_socket_replaces_only_what_is_dead(void **state)
{
    (void)state;
    char path[128];
    struct stat st;
    in_dir(path, "sock");
    int fd = listener_unix_open(path, (uid_t)-1, (gid_t)-1, error, sizeof(error));
    assert_true(fd >= 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    assert_int_equal(listener_unix_open(path, (uid_t)-1, (gid_t)-1, error, sizeof(error)), -1);
    assert_non_null(strstr(error, "another process"));
    close(fd); /* killed: the path stays */
    fd = listener_unix_open(path, (uid_t)-1, (gid_t)-1, error, sizeof(error));
    assert_true(fd >= 0);
    close(fd);
    in_dir(path, "file");
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(listener_unix_open(path, (uid_t)-1, (gid_t)-1, error, sizeof(error)), -1);
    assert_int_equal(access(path, F_OK), 0);
}

static void an_admin_path_has_a_bound(void **state)
{
    (void)state;
    struct sockaddr_un sa;
    char path[sizeof(sa.sun_path) + 1];
    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(listener_unix_open(path, (uid_t)-1, (gid_t)-1, error, sizeof(error)), -1);
    assert_non_null(strstr(error, "longer than"));
}

/* ---- privileges ---- */

static void a_user_that_is_missing_is_said(void **state)
{
    (void)state;
    privileges_t privileges;
    assert_true(privileges_find("", &privileges, error, sizeof(error)));
    assert_false(privileges.drop);
    bool found = privileges_find("no-such-user-here", &privileges, error, sizeof(error));
    assert_int_equal(found, geteuid() != 0); /* only root changes its user */
    if (!found)
        assert_non_null(strstr(error, "useradd"));
}

static void directories_are_made_and_given(void **state)
{
    (void)state;
    char path[128];
    struct stat st;
    const privileges_t other = {.drop = true, .uid = 65534, .gid = 65534}, keep = {.drop = false};
    in_dir(path, "a/b/c");
    assert_true(privileges_make_dir(path, 0700, true, geteuid() == 0 ? &other : &keep, error, sizeof(error)));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_true(privileges_make_dir(path, 0700, false, &keep, error, sizeof(error))); /* again */
    if (geteuid() == 0) {
        const privileges_t third = {.drop = true, .uid = 1, .gid = 1};
        assert_int_equal(st.st_uid, 65534);
        assert_false(privileges_make_dir(path, 0700, true, &third, error, sizeof(error)));
        assert_non_null(strstr(error, "chown"));
    }
    in_dir(path, "file");
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_false(privileges_make_dir(path, 0700, false, &keep, error, sizeof(error)));
}

/* ---- messages ---- */

static void pems_travel_whole(void **state)
{
    (void)state;
    tls_pem_t pems[2] = {{(char *)"chain 1", (char *)"key 1", NULL},
                         {(char *)"", (char *)"key 2", (char *)"roots"}},
              *got;
    size_t count;
    int fd = process_pems_write(pems, 2);
    assert_true(process_pems_read(fd, &got, &count));
    assert_int_equal(count, 2);
    assert_string_equal(got[0].chain, "chain 1");
    assert_string_equal(got[0].key, "key 1");
    assert_string_equal(got[1].chain, "");
    assert_string_equal(got[1].key, "key 2");
    assert_string_equal(got[0].authorities, "");
    assert_string_equal(got[1].authorities, "roots");
    process_pems_free(&got, count);
    close(fd);
    fd = process_pems_write(NULL, 0);
    assert_true(process_pems_read(fd, &got, &count));
    assert_int_equal(count, 0);
    process_pems_free(&got, count);
    close(fd);
}

static void cut_pems_are_refused(void **state)
{
    (void)state;
    char path[128];
    tls_pem_t *got;
    size_t count;
    const char *bad[] = {"chain", "chain\0key\0roots", "chain\0key\0"};
    const size_t lengths[] = {5, 15, 10};
    in_dir(path, "file");
    for (size_t i = 0; i < 3; i++) {
        int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);
        assert_int_equal(write(fd, bad[i], lengths[i]), (ssize_t)lengths[i]);
        assert_false(process_pems_read(fd, &got, &count));
        assert_null(got);
        close(fd);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_second_is_refused_by_name),
        TEST(the_lock_passes_to_a_child),
        TEST(a_link_is_not_followed),
        TEST(one_socket_for_each_worker_and_address),
        TEST(a_port_that_is_taken_is_an_error),
        TEST(a_queue_outlives_the_set_it_began_in),
        TEST(only_listening_sockets_are_adopted),
        TEST(the_admin_socket_replaces_only_what_is_dead),
        TEST(an_admin_path_has_a_bound),
        TEST(a_user_that_is_missing_is_said),
        TEST(directories_are_made_and_given),
        TEST(pems_travel_whole),
        TEST(cut_pems_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
