/* Accounts: each adds to those above it and to its share; shares are sums over workers that err upward
 * only. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "account.h"
#include "arena.h"

static const uint8_t seed[16] = "0123456789abcdef";

static struct in6_addr address(const char *text)
{
    struct in6_addr out;
    assert_int_equal(inet_pton(AF_INET6, text, &out), 1);
    return out;
}

static void test_without_shares(void **state)
{
    (void)state;
    account_root_t root;
    account_root_init(&root, NULL);
    account_t client = {.parent = &root.account}, exchange = {.parent = &client};
    account_add(&exchange, 10);
    account_add(&client, 5);
    account_add(&root.account, 1);
    assert_int_equal(root.held, 16);
    account_move(&exchange, 10, 4);
    account_move(&exchange, 4, 4);
    assert_int_equal(root.held, 10);
    account_sub(&exchange, 4);
    account_sub(&client, 5);
    account_sub(&root.account, 1);
    assert_int_equal(root.held, 0);
}

/* They count in every sum, and the root distinguishes them. */
static void test_bytes_of_the_kernel(void **state)
{
    (void)state;
    account_root_t root;
    account_root_init(&root, NULL);
    account_t client = {.parent = &root.account};
    account_add(&client, 10);
    account_move_kernel(&client, 0, 1000);
    assert_int_equal(client.held, 1010);
    assert_int_equal(root.held, 1010);
    assert_int_equal(account_own(&root), 10);
    account_move_kernel(&client, 1000, 400);
    assert_int_equal(root.held, 410);
    assert_int_equal(account_own(&root), 10);
    account_move_kernel(&client, 400, 0);
    account_sub(&client, 10);
    assert_int_equal(root.held, 0);
    assert_int_equal(root.kernel, 0);
}

/* An exchange's memory counts against its box and its client's address, a connection's against the address
 * only; both are sums over workers. */
static void test_shares(void **state)
{
    (void)state;
    shm_t *shm = shm_new(seed);
    account_root_t roots[2];
    account_t clients[2], exchanges[2];
    struct in6_addr near = address("::ffff:192.0.2.1");
    shm_share_t of_client = shm_share_of_client(shm, &near), of_box = shm_share_of_box(shm, STR("box"));
    for (unsigned i = 0; i < 2; i++) {
        account_root_init(&roots[i], shm_shares(shm, i));
        clients[i] = (account_t){.parent = &roots[i].account, .share = of_client};
        exchanges[i] = (account_t){.parent = &clients[i], .share = of_box};
        account_add(&exchanges[i], 1000);
        account_add(&clients[i], 50);
    }
    assert_int_equal(roots[0].held, 1050);
    assert_int_equal(shm_share_held(shm, of_client), 2100);
    assert_int_equal(shm_share_held(shm, of_box), 2000);
    assert_int_equal(shm_share_held(shm, shm_share_of_box(shm, STR("box2"))), 0);
    assert_int_equal(shm_share_held(shm, (shm_share_t){{0, 0}}), 0);
    account_sub(&exchanges[0], 1000);
    assert_int_equal(shm_share_held(shm, of_box), 1000);
    assert_int_equal(shm_share_held(shm, of_client), 1100);
    shm_worker_wipe(shm, 1); /* it died */
    assert_int_equal(shm_share_held(shm, of_box), 0);
    assert_int_equal(shm_share_held(shm, of_client), 50);
    shm_free(&shm);
}

/* An IPv6 client is its /64, an IPv4 client its address. */
static void test_whose_share(void **state)
{
    (void)state;
    shm_t *shm = shm_new(seed);
    struct in6_addr v6 = address("2001:db8:1:2::1"), same = address("2001:db8:1:2:ffff::9"),
                    other = address("2001:db8:1:3::1"), v4 = address("::ffff:10.0.0.1"),
                    next = address("::ffff:10.0.0.2");
    shm_share_t share = shm_share_of_client(shm, &v6), again = shm_share_of_client(shm, &same);
    assert_memory_equal(&share, &again, sizeof(share));
    again = shm_share_of_client(shm, &other);
    assert_memory_not_equal(&share, &again, sizeof(share));
    share = shm_share_of_client(shm, &v4);
    again = shm_share_of_client(shm, &next);
    assert_memory_not_equal(&share, &again, sizeof(share));
    shm_free(&shm);
}

/* An arena grows by pieces: small allocations share them, large ones have their own, which can be given
 * back. */
static void test_arena(void **state)
{
    (void)state;
    arena_t arena;
    arena_mark_t mark = {NULL, NULL};
    arena_init(&arena);
    assert_false(arena_has_grown(&arena, &mark));
    assert_int_equal(arena_growth(&arena, &mark), 0);
    arena_alloc(&arena, 100);
    assert_true(arena_has_grown(&arena, &mark));
    assert_in_range(arena_growth(&arena, &mark), 4096, 8192);
    arena_alloc(&arena, 100);
    assert_false(arena_has_grown(&arena, &mark));
    void *first = arena_alloc(&arena, 30000), *second = arena_alloc(&arena, 20000);
    size_t grown = arena_growth(&arena, &mark);
    assert_in_range(grown, 50000, 70000);
    void *third = arena_alloc(&arena, 10000); /* not read yet */
    assert_int_equal(arena_give_back(&arena, third, &mark), 0);
    assert_false(arena_has_grown(&arena, &mark));
    size_t back = arena_give_back(&arena, first, &mark); /* not the last */
    assert_in_range(back, 30000, 42000);
    assert_int_equal(back + arena_give_back(&arena, second, &mark), grown);
    assert_int_equal(arena_growth(&arena, &mark), 0);
    assert_null(arena.large);
    void *small = arena_alloc(&arena, 64);
    assert_int_equal(arena_give_back(&arena, small, &mark), 0); /* it stays */
    arena_clear(&arena);
}

/* The first allocation lies in the first chunk even if it is large, so that an exchange and its parts share
 * one piece. */
static void test_the_first_allocation(void **state)
{
    (void)state;
    arena_t arena;
    arena_mark_t mark = {NULL, NULL};
    arena_init(&arena);
    char *first = arena_alloc(&arena, 2 * ARENA_LARGE_BYTES), *second = arena_alloc(&arena, 1);
    assert_ptr_equal(second, first + 2 * ARENA_LARGE_BYTES);
    assert_int_equal((uintptr_t)second % 16, 0);
    assert_null(arena.large);
    assert_int_equal(arena_give_back(&arena, first, &mark), 0); /* it stays */
    assert_in_range(arena_growth(&arena, &mark), ARENA_FIRST_BYTES, 2 * ARENA_FIRST_BYTES);
    for (size_t n = 0; n < ARENA_FIRST_BYTES; n += 512)
        arena_alloc(&arena, 512);
    size_t grown = arena_growth(&arena, &mark);
    assert_in_range(grown, ARENA_CHUNK_BYTES, 2 * ARENA_FIRST_BYTES);
    arena_clear(&arena);
    assert_ptr_not_equal(arena_alloc(&arena, ARENA_FIRST_BYTES), NULL); /* larger than a chunk's room */
    assert_null(arena.chunks);
    arena_clear(&arena);
    assert_ptr_not_equal(arena_alloc(&arena, 0), NULL);
    arena_clear(&arena);
}

static unsigned disposed;

static void dispose(void *memory)
{
    assert_int_equal(*(unsigned *)memory, ++disposed);
}

static void test_disposal(void **state)
{
    (void)state;
    arena_t arena;
    arena_init(&arena);
    *(unsigned *)arena_alloc_shared(&arena, sizeof(unsigned), dispose) = 2;
    *(unsigned *)arena_alloc_shared(&arena, ARENA_FIRST_BYTES, dispose) = 1;
    (void)arena_alloc_shared(&arena, 1, NULL);
    arena_clear(&arena);
    assert_int_equal(disposed, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_shares), cmocka_unit_test(test_bytes_of_the_kernel),
        cmocka_unit_test(test_shares),         cmocka_unit_test(test_whose_share),
        cmocka_unit_test(test_arena),          cmocka_unit_test(test_the_first_allocation),
        cmocka_unit_test(test_disposal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
