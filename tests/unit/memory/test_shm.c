/* The shared segment: counting, wiping, and the view of several processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm.h"

static const uint8_t seed[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static struct in6_addr address(const char *text)
{
    struct in6_addr out;
    assert_int_equal(inet_pton(AF_INET6, text, &out), 1);
    return out;
}

static int set_up(void **state)
{
    *state = shm_new(seed);
    return *state == NULL;
}

static int tear_down(void **state)
{
    shm_free((shm_t **)state);
    return 0;
}

static void limit_holds_over_all_workers(void **state)
{
    shm_t *shm = *state;
    struct in6_addr a = address("::ffff:192.0.2.1");
    for (unsigned i = 0; i < 6; i++)
        assert_true(shm_client_add(shm, i % 3, &a, 6));
    for (unsigned i = 0; i < 3; i++)
        assert_false(shm_client_add(shm, i, &a, 6));
    assert_int_equal(shm_client_count(shm, &a), 6); /* the refused one left no trace */
    shm_client_remove(shm, 1, &a);
    assert_true(shm_client_add(shm, 2, &a, 6));
    assert_false(shm_client_add(shm, 0, &a, 6));
    assert_true(shm_client_add(shm, 0, &a, 0)); /* no limit; it still counts */
    assert_int_equal(shm_client_count(shm, &a), 7);
}

static void ipv4_by_address_ipv6_by_64(void **state)
{
    shm_t *shm = *state;
    struct in6_addr v4[2] = {address("::ffff:192.0.2.1"), address("::ffff:192.0.2.2")};
    struct in6_addr v6[3] = {address("2001:db8:0:1::1"), address("2001:db8:0:1:ffff:ffff:ffff:ffff"),
                             address("2001:db8:0:2::1")};
    assert_true(shm_client_add(shm, 0, &v4[0], 1));
    assert_true(shm_client_add(shm, 0, &v4[1], 1));
    assert_false(shm_client_add(shm, 0, &v4[1], 1));
    assert_true(shm_client_add(shm, 0, &v6[0], 1));
    assert_false(shm_client_add(shm, 0, &v6[1], 1));
    assert_true(shm_client_add(shm, 0, &v6[2], 1));
}

static void never_errs_downward_and_seldom_upward(void **state)
{
    shm_t *shm = *state;
    unsigned wrong = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        struct in6_addr a = address("::ffff:10.0.0.0");
        a.s6_addr[14] = (uint8_t)(i >> 8);
        a.s6_addr[15] = (uint8_t)i;
        assert_true(shm_client_add(shm, i % 4, &a, 0));
    }
    for (uint32_t i = 0; i < 10000; i++) {
        struct in6_addr a = address("::ffff:10.0.0.0");
        a.s6_addr[14] = (uint8_t)(i >> 8);
        a.s6_addr[15] = (uint8_t)i;
        uint32_t count = shm_client_count(shm, &a);
        assert_true(count >= 1 && count <= 5);
        wrong += count > 1;
    }
    /* Each row has a neighbour in the cell with probability 1 - e^(-10000/32768) = 0.26; both rows: 0.07. */
    assert_true(wrong < 1200);
}

static void a_dead_worker_leaves_no_counts_and_keeps_its_totals(void **state)
{
    shm_t *shm = *state;
    struct in6_addr a = address("2001:db8::1");
    for (unsigned i = 0; i < 4; i++)
        assert_true(shm_client_add(shm, i % 2, &a, 4));
    counter_add(&shm_counters(shm, 1)->connections_total, 2);
    counter_add(&shm_counters(shm, 1)->connections_open, 2);
    counter_add(&shm_counters(shm, 0)->connections_open, 2);
    shm_worker_wipe(shm, 1);
    assert_int_equal(shm_client_count(shm, &a), 2);
    assert_int_equal(shm_counters(shm, 1)->connections_total, 2);
    assert_int_equal(shm_counters(shm, 1)->connections_open, 0);
    assert_int_equal(shm_counters(shm, 0)->connections_open, 2);
    assert_true(shm_client_add(shm, 1, &a, 3));
    assert_false(shm_client_add(shm, 1, &a, 3));
}

static void the_last_worker_is_a_worker(void **state)
{
    shm_t *shm = *state;
    struct in6_addr a = address("2001:db8::1");
    assert_true(shm_client_add(shm, SHM_WORKERS_MAX - 1, &a, 1));
    assert_false(shm_client_add(shm, 0, &a, 1));
    assert_ptr_not_equal(shm_worker(shm, SHM_WORKERS_MAX - 1), shm_worker(shm, SHM_WORKERS_MAX - 2));
}

static void other_processes_see_it(void **state)
{
    shm_t *shm = *state;
    struct in6_addr a = address("2001:db8::1");
    pid_t pid = fork();
    if (pid == 0) {
        shm_epoch_bump(shm);
        _exit(shm_client_add(shm, 1, &a, 1) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(*shm_epoch(shm), 1);
    assert_false(shm_client_add(shm, 0, &a, 1));
    shm_worker_wipe(shm, 1);
    assert_true(shm_client_add(shm, 0, &a, 1));
}

/* Processes that add and remove in any interleaving never exceed the limit together. */
static void processes_that_race_keep_the_limit(void **state)
{
    enum { PROCESSES = 4, TRIES = 20000, LIMIT = 2 };
    shm_t *shm = *state;
    struct in6_addr a = address("2001:db8::1");
    _Atomic uint64_t *inside =
        &shm_counters(shm, 200)->connections_open; /* a cell that every process may write */
    _Atomic uint64_t *broken = &shm_counters(shm, 200)->connections_total;
    pid_t pids[PROCESSES];
    for (unsigned p = 0; p < PROCESSES; p++) {
        pids[p] = fork();
        if (pids[p] != 0)
            continue;
        for (unsigned i = 0; i < TRIES; i++) {
            if (!shm_client_add(shm, p, &a, LIMIT))
                continue;
            if (atomic_fetch_add(inside, 1) >= LIMIT)
                atomic_fetch_add(broken, 1);
            atomic_fetch_sub(inside, 1);
            shm_client_remove(shm, p, &a);
        }
        _exit(0);
    }
    for (unsigned p = 0; p < PROCESSES; p++) {
        int status;
        assert_int_equal(waitpid(pids[p], &status, 0), pids[p]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(*broken, 0);
    assert_int_equal(shm_client_count(shm, &a), 0);
}

static void ticket_keys_come_once_for_each_change(void **state)
{
    shm_t *shm = *state;
    tls_ticket_keys_t put = {.count = 2}, got = {.count = 0};
    uint64_t seen = 0;
    assert_false(shm_ticket_keys_get(shm, &seen, &got));
    for (size_t i = 0; i < sizeof(put.secret); i++)
        put.secret[i / 64][i % 64] = (uint8_t)i;
    shm_ticket_keys_put(shm, &put);
    assert_true(shm_ticket_keys_get(shm, &seen, &got));
    assert_memory_equal(&put, &got, sizeof(put));
    assert_false(shm_ticket_keys_get(shm, &seen, &got));
    put.secret[2][63] ^= 1;
    shm_ticket_keys_put(shm, &put);
    assert_true(shm_ticket_keys_get(shm, &seen, &got));
    assert_memory_equal(&put, &got, sizeof(put));
}

/* A reader beside a writer never gets a mixture of older and newer keys. */
static void ticket_keys_are_never_mixed(void **state)
{
    shm_t *shm = *state;
    pid_t pid = fork();
    if (pid == 0) {
        for (unsigned i = 1; i <= 20000; i++) {
            tls_ticket_keys_t keys = {.count = 3};
            memset(keys.secret, (int)(i & 0xff), sizeof(keys.secret));
            shm_ticket_keys_put(shm, &keys);
        }
        _exit(0);
    }
    tls_ticket_keys_t keys;
    uint64_t seen = 0;
    unsigned reads = 0, mixed = 0;
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (!shm_ticket_keys_get(shm, &seen, &keys))
            continue;
        reads++;
        for (size_t i = 1; i < sizeof(keys.secret); i++)
            mixed += keys.secret[i / 64][i % 64] != keys.secret[0][0];
    }
    assert_int_equal(status, 0);
    assert_int_equal(mixed, 0);
    assert_true(reads + (shm_ticket_keys_get(shm, &seen, &keys) ? 1u : 0u) > 0);
}

/* A dead worker's exchanges at a server of an upstream, and its queue entries. */
static void balance_is_wiped(void **state)
{
    shm_t *shm = *state;
    balance_server_t server = {.name = "a:80", .port = 80, .weight = 1};
    conf_upstream_t conf = {.in_flight = 1};
    balance_pick_t pick;
    balance_set(shm_balance(shm), 15, 0, &server, 1, 0);
    assert_int_equal(balance_pick(shm_balance(shm), 255, 15, &conf, 0, 0, 0, 0, &pick), BALANCE_OK);
    balance_waiters_add(shm_balance(shm), 255, 15, 1);
    assert_int_equal(balance_pick(shm_balance(shm), 0, 15, &conf, 0, 0, 0, 0, &pick), BALANCE_FULL);
    shm_worker_wipe(shm, 254);
    assert_int_equal(balance_waiters(shm_balance(shm), 15), 1);
    shm_worker_wipe(shm, 255);
    assert_int_equal(balance_waiters(shm_balance(shm), 15), 0);
    assert_int_equal(balance_pick(shm_balance(shm), 0, 15, &conf, 0, 0, 0, 0, &pick), BALANCE_OK);
}

static shm_t *join(const shm_t *shm)
{
    return shm_attach(dup(shm_core_fd(shm)), dup(shm_fd(shm)), seed);
}

static void an_edge_joins_the_segment(void **state)
{
    shm_t *old = *state;
    struct in6_addr a = address("::ffff:192.0.2.1");
    unsigned number;
    assert_true(shm_worker_take(old, 0, &number) && number == 0);
    shm_epoch_bump(old);
    shm_t *joined = join(old);
    assert_non_null(joined);
    assert_int_equal(*shm_epoch(joined), 1);
    assert_ptr_not_equal(shm_controller(joined), shm_controller(old));
    assert_int_equal(atomic_load(&shm_own_edge(joined)->number), 2);
    /* Its worker 0 has a separate slot, and both count together. */
    assert_true(shm_worker_take(joined, 0, &number) && number == 1);
    assert_int_equal(shm_worker_find(old, 0), 0);
    assert_int_equal(shm_worker_find(joined, 0), 1);
    assert_int_equal(shm_worker_edge(joined, 0), 1);
    assert_true(shm_client_add(old, 0, &a, 1));
    assert_false(shm_client_add(joined, 1, &a, 1));
    atomic_store(&shm_own_edge(joined)->since_s, 1);
    shm_leave(joined);
    shm_free(&joined);
    assert_int_equal(shm_worker_edge(old, 1), 0);
    joined = join(old);
    assert_non_null(joined);
    assert_int_equal(atomic_load(&shm_own_edge(joined)->number), 3);
    assert_int_equal(atomic_load(&shm_own_edge(joined)->since_s), 0); /* no entry of the edge before */
    shm_leave(joined);
    shm_free(&joined);
    assert_true(shm_worker_take(old, 1, &number) && number == 1);
    shm_worker_retire(old, 1);
    assert_int_equal(shm_worker_find(old, 1), SHM_WORKERS_MAX);
    assert_int_equal(shm_worker_edge(old, 1), 1);
}

static void a_killed_edge_leaves_its_slots(void **state)
{
    shm_t *shm = *state;
    struct in6_addr a = address("::ffff:192.0.2.1");
    unsigned number;
    pid_t pid = fork();
    if (pid == 0) {
        shm_t *joined = join(shm);
        _exit(joined != NULL && shm_worker_take(joined, 0, &number) && shm_client_add(joined, number, &a, 1)
                  ? 0
                  : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(shm_worker_edge(shm, 0), 2);
    assert_int_equal(shm_workers_free(shm), SHM_WORKERS_MAX); /* the slot of the dead edge, too */
    assert_true(shm_worker_take(shm, 0, &number) && number == 0);
    assert_int_equal(shm_client_count(shm, &a), 0);
}

static void edges_and_slots_are_bounded(void **state)
{
    shm_t *shm = *state, *more[SHM_EDGES_MAX - 1];
    unsigned number;
    for (unsigned i = 0; i < SHM_EDGES_MAX - 1; i++)
        assert_non_null(more[i] = join(shm));
    assert_null(shm_attach(shm_core_fd(shm), shm_fd(shm), seed));
    assert_int_equal(errno, EUSERS);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++) {
        assert_int_equal(shm_workers_free(shm), SHM_WORKERS_MAX - i);
        assert_true(shm_worker_take(more[i % (SHM_EDGES_MAX - 1)], i, &number));
    }
    assert_int_equal(shm_workers_free(shm), 0);
    assert_false(shm_worker_take(shm, 0, &number));
    for (unsigned i = 0; i < SHM_EDGES_MAX - 1; i++) {
        shm_leave(more[i]);
        shm_free(&more[i]);
    }
    assert_true(shm_worker_take(shm, 0, &number));
}

/* A segment with another layout, whose tables are elsewhere: `form` is what it says of the limits'. */
static int other_segment(const shm_t *shm, uint64_t form)
{
    struct stat file;
    uint64_t head[4 + 3 * 16];
    const size_t moved = 8192;
    assert_int_equal(fstat(shm_fd(shm), &file), 0);
    char *bytes = malloc((size_t)file.st_size);
    assert_non_null(bytes);
    assert_int_equal(pread(shm_fd(shm), bytes, (size_t)file.st_size, 0), file.st_size);
    memcpy(head, bytes, sizeof(head));
    head[1]++;
    head[2] += moved;
    for (size_t i = 0; i < 16; i++)
        head[4 + 3 * i + 1] += moved; /* its offset */
    head[4 + 3 * SHM_LIMITS] = form;
    int fd = memfd_create("other", 0);
    assert_int_equal(pwrite(fd, bytes, (size_t)file.st_size, (off_t)moved), file.st_size);
    assert_int_equal(pwrite(fd, head, sizeof(head), 0), sizeof(head));
    free(bytes);
    return fd;
}

static void a_table_of_another_form_is_another_layout(void **state)
{
    shm_t *old = *state;
    int fd = dup(shm_fd(old));
    uint64_t other = LIMIT_FORM + 1;
    assert_int_equal(pwrite(fd, &other, 8, (4 + 3 * SHM_LIMITS) * 8), 8);
    shm_t *joined = shm_attach(dup(shm_core_fd(old)), fd, seed);
    assert_non_null(joined);
    assert_int_not_equal(shm_fd(joined), fd);
    close(fd);
    shm_leave(joined);
    shm_free(&joined);
}

static void another_layout_shares_the_core(void **state)
{
    shm_t *old = *state;
    unsigned number;
    assert_true(shm_worker_take(old, 0, &number) && number == 0);
    int fd = other_segment(old, LIMIT_FORM);
    shm_t *joined = shm_attach(dup(shm_core_fd(old)), fd, seed);
    assert_non_null(joined);
    assert_int_not_equal(shm_fd(joined), fd);
    close(fd);
    shm_epoch_bump(joined);
    assert_int_equal(*shm_epoch(old), 1);
    assert_true(store_health_report_pages(shm_store_health(joined), 1));
    assert_int_equal(store_health_bad_pages(shm_store_health(old)), 1);
    assert_int_equal(atomic_load(&shm_own_edge(joined)->number), 2);
    /* No number is given twice, and each edge sees the other's workers as these show themselves. */
    assert_true(shm_worker_take(joined, 0, &number) && number == 1);
    assert_int_equal(shm_worker_edge(old, 1), 2);
    atomic_store(&shm_worker(old, 0)->pid, 70);
    atomic_store(&shm_worker(old, 0)->state, SHM_DRAINING);
    counter_set(&shm_counters(old, 0)->exchanges_open, 5);
    counter_set(&shm_counters(old, 0)->tunnels_open, 3);
    assert_int_equal(shm_worker_seen(old, 0).pid, 70);
    assert_int_equal(shm_worker_seen(joined, 0).pid, 0);
    shm_worker_show(old, 0);
    shm_seen_t seen = shm_worker_seen(joined, 0);
    assert_true(seen.pid == 70 && seen.state == SHM_DRAINING && seen.exchanges_open == 5 &&
                seen.tunnels_open == 3);
    assert_int_equal(atomic_load(&shm_counters(joined, 0)->tunnels_open), 0); /* another segment's */
    shm_worker_give(old, 0);
    assert_int_equal(shm_worker_seen(joined, 0).pid, 0);
    assert_int_equal(shm_worker_edge(joined, 0), 0);
    shm_leave(joined);
    shm_free(&joined);
}

static const limit_plan_t one_a_minute = {.interval_ns = 60000000000, .burst = 1, .in_flight = 1};

/* Uses a limit up, locks a client out, drains a server; each with a request in flight. */
static void fill_tables(shm_t *shm)
{
    const struct in6_addr client = address("::ffff:192.0.2.1");
    const balance_server_t server = {.name = "a:80", .port = 80, .weight = 1};
    const conf_upstream_t conf = {.id = 7, .in_flight = 1, .panic_percent = 50};
    limit_state_t limit;
    limit_ticket_t ticket;
    balance_pick_t pick;
    assert_int_equal(
        limit_take(shm_limit(shm), 0, &(limit_id_t){{1}}, &one_a_minute, 1, 1000000000, &limit, &ticket),
        LIMIT_ADMITTED);
    for (uint8_t i = 0; i < LOCKOUT_FAILURES; i++)
        lockout_failed(shm_lockout(shm), &client, 1, (uint8_t[32]){i}, 1000);
    balance_set(shm_balance(shm), 0, 7, &server, 1, 1000);
    assert_int_equal(balance_pick(shm_balance(shm), 0, 0, &conf, 0, 0, 0, 1000, &pick), BALANCE_OK);
    assert_int_equal(balance_drain(shm_balance(shm), 0, STR("a:80"), true, 1000), 1);
}

static limit_result_t take_again(shm_t *shm)
{
    limit_state_t limit;
    limit_ticket_t ticket;
    return limit_take(shm_limit(shm), 0, &(limit_id_t){{1}}, &one_a_minute, 1, 1000000000, &limit, &ticket);
}

static void tables_are_copied_from_another_layout(void **state)
{
    shm_t *old = *state, *fresh = shm_new(seed);
    const struct in6_addr client = address("::ffff:192.0.2.1");
    balance_view_t view;
    fill_tables(old);
    int fd = other_segment(old, LIMIT_FORM);
    assert_int_equal(shm_tables_copy(fresh, fd), 0);
    close(fd);
    assert_int_equal(take_again(fresh), LIMIT_RATE); /* and not LIMIT_IN_FLIGHT */
    assert_int_not_equal(lockout_left(shm_lockout(fresh), &client, 1, 1000), 0);
    assert_true(balance_look(shm_balance(fresh), 0, 0, 1000, &view));
    assert_true(view.drained && view.requests == 1 && view.in_flight == 0);
    shm_free(&fresh);
}

static void a_table_of_another_form_starts_anew(void **state)
{
    shm_t *old = *state, *fresh = shm_new(seed);
    const struct in6_addr client = address("::ffff:192.0.2.1");
    fill_tables(old);
    int fd = other_segment(old, LIMIT_FORM + 1);
    assert_int_equal(shm_tables_copy(fresh, fd), 1u << SHM_LIMITS);
    assert_int_equal(take_again(fresh), LIMIT_ADMITTED);
    assert_int_not_equal(lockout_left(shm_lockout(fresh), &client, 1, 1000), 0);
    close(fd);
    /* No segment, or one that is cut. */
    int cut = memfd_create("cut", 0);
    assert_int_equal(shm_tables_copy(fresh, cut), (1u << SHM_TABLES) - 1);
    uint64_t head[4 + 3 * 16];
    assert_int_equal(pread(shm_fd(old), head, sizeof(head), 0), sizeof(head));
    assert_int_equal(pwrite(cut, head, sizeof(head), 0), sizeof(head));
    assert_int_equal(shm_tables_copy(fresh, cut), (1u << SHM_TABLES) - 1);
    assert_int_equal(shm_tables_copy(fresh, -1), (1u << SHM_TABLES) - 1);
    close(cut);
    shm_free(&fresh);
}

static void another_version_of_the_core_is_refused(void **state)
{
    shm_t *shm = *state;
    int fd = dup(shm_core_fd(shm));
    uint64_t other = CORE_VERSION + 1;
    assert_int_equal(pwrite(fd, &other, sizeof(other), sizeof(other)), sizeof(other));
    assert_null(shm_attach(fd, shm_fd(shm), seed));
    assert_int_equal(errno, EPROTO);
    assert_int_equal(ftruncate(fd, 4096), -1); /* no process can hide the others' cells */
    assert_int_equal(ftruncate(shm_fd(shm), 4096), -1);
    close(fd);
    int empty = memfd_create("empty", 0);
    assert_null(shm_attach(empty, -1, seed));
    assert_int_equal(errno, EPROTO);
    close(empty);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(limit_holds_over_all_workers),
        TEST(ipv4_by_address_ipv6_by_64),
        TEST(never_errs_downward_and_seldom_upward),
        TEST(a_dead_worker_leaves_no_counts_and_keeps_its_totals),
        TEST(the_last_worker_is_a_worker),
        TEST(other_processes_see_it),
        TEST(processes_that_race_keep_the_limit),
        TEST(ticket_keys_come_once_for_each_change),
        TEST(ticket_keys_are_never_mixed),
        TEST(balance_is_wiped),
        TEST(an_edge_joins_the_segment),
        TEST(a_killed_edge_leaves_its_slots),
        TEST(edges_and_slots_are_bounded),
        TEST(a_table_of_another_form_is_another_layout),
        TEST(another_layout_shares_the_core),
        TEST(tables_are_copied_from_another_layout),
        TEST(a_table_of_another_form_starts_anew),
        TEST(another_version_of_the_core_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
