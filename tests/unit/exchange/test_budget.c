/* Served, refused and dropped clients: every bound to the byte, and clients without one. */
#include "budget.h"

#include "context_fixture.h"

#define MEMORY 8388608u
#define SHARE  1048576u

typedef struct bound_case {
    uint64_t held, client, box;
    budget_answer_t answer;
} bound_case_t;

/* From 4/4 on, the memory of connections is left out; below, and for whole shares, it counts like the
 * rest. */
static void test_what_connections_keep(void **state)
{
    (void)state;
    budget_facts_t facts = {
        .memory = MEMORY, .share = SHARE, .shared = true, .held = MEMORY / 4 * 3, .connections = MEMORY / 2};
    facts.client = SHARE + 1;
    assert_int_equal(budget_rule(&facts), BUDGET_SHED);
    facts.held = MEMORY / 8 * 7;
    assert_int_equal(budget_rule(&facts), BUDGET_DROP);
    facts.client = SHARE;
    facts.held = MEMORY / 2 * 3;
    assert_int_equal(budget_rule(&facts), BUDGET_SERVE);
    facts.held++;
    assert_int_equal(budget_rule(&facts), BUDGET_SHED);
    facts.client = 0;
    facts.held = MEMORY * 2 - 1;
    assert_int_equal(budget_rule(&facts), BUDGET_SERVE);
    facts.held++;
    assert_int_equal(budget_rule(&facts), BUDGET_DROP);
}

static void test_bounds(void **state)
{
    (void)state;
    static const bound_case_t cases[] = {
        {MEMORY / 4 * 3 - 1, MEMORY / 2, MEMORY / 2, BUDGET_SERVE}, /* shares do not count yet */
        {MEMORY / 4 * 3, SHARE, SHARE, BUDGET_SERVE},
        {MEMORY / 4 * 3, SHARE + 1, 0, BUDGET_SHED},
        {MEMORY / 4 * 3, 0, SHARE + 1, BUDGET_SHED},
        {MEMORY / 8 * 7 - 1, 6 * SHARE, 0, BUDGET_SHED},
        {MEMORY / 8 * 7, SHARE, SHARE, BUDGET_SERVE},
        {MEMORY / 8 * 7, SHARE + 1, 0, BUDGET_DROP},
        {MEMORY / 8 * 7, 0, SHARE + 1, BUDGET_DROP},
        {MEMORY, SHARE, SHARE, BUDGET_SERVE},
        /* From here on the share of a client address falls, that of a box does not. */
        {MEMORY + MEMORY / 8, SHARE / 4 * 3, SHARE, BUDGET_SERVE},
        {MEMORY + MEMORY / 8, SHARE / 4 * 3 + 1, SHARE, BUDGET_SHED},
        {MEMORY / 4 * 5, SHARE / 2, SHARE, BUDGET_SERVE},
        {MEMORY / 4 * 5, SHARE / 2 + 1, SHARE, BUDGET_DROP},
        {MEMORY / 2 * 3 - 4, 1, SHARE, BUDGET_SERVE}, /* a share of 1 byte */
        {MEMORY / 2 * 3 - 4, 2, SHARE, BUDGET_DROP},
        {MEMORY / 2 * 3, 0, 0, BUDGET_DROP},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        budget_facts_t facts = {.memory = MEMORY,
                                .share = SHARE,
                                .held = cases[i].held,
                                .shared = true,
                                .client = cases[i].client,
                                .box = cases[i].box};
        assert_int_equal(budget_rule(&facts), cases[i].answer);
    }
}

static void check_without_shares(budget_facts_t facts)
{
    facts.held = MEMORY / 4 * 5 - 1;
    assert_int_equal(budget_rule(&facts), BUDGET_SERVE);
    facts.held++;
    assert_int_equal(budget_rule(&facts), BUDGET_SHED);
    facts.held = MEMORY / 2 * 3 - 1;
    assert_int_equal(budget_rule(&facts), BUDGET_SHED);
    facts.held++;
    assert_int_equal(budget_rule(&facts), BUDGET_DROP);
}

/* A share as large as the memory is no share, and some clients have none. */
static void test_bounds_without_shares(void **state)
{
    (void)state;
    check_without_shares(
        (budget_facts_t){.memory = MEMORY, .share = MEMORY, .shared = true, .client = MEMORY});
    check_without_shares((budget_facts_t){.memory = MEMORY, .share = SHARE});
}

/* The kernel's memory makes shares count, but however large it is, it refuses nothing to others. */
static void test_what_the_kernel_holds(void **state)
{
    (void)state;
    budget_facts_t facts = {.memory = MEMORY, .share = SHARE, .held = MEMORY / 4, .shared = true};
    facts.client = SHARE + 1;
    facts.kernel = MEMORY / 2 - 1;
    assert_int_equal(budget_rule(&facts), BUDGET_SERVE);
    facts.kernel++;
    assert_int_equal(budget_rule(&facts), BUDGET_SHED);
    facts.kernel = 100ull * MEMORY;
    assert_int_equal(budget_rule(&facts), BUDGET_SHED);
    facts.client = SHARE;
    assert_int_equal(budget_rule(&facts), BUDGET_SERVE);
    facts.shared = false;
    assert_int_equal(budget_rule(&facts), BUDGET_SERVE);
}

static const client_ops_t no_ops;

typedef struct world {
    context_fixture_t *f;
    exchange_t *ex;
} world_t;

static world_t world_new(void)
{
    static const uint8_t seed[16] = "0123456789abcdef";
    world_t w = {.f = context_fixture_new()};
    context_t *context = w.f->context;
    context->shm = shm_new(seed);
    context->memory.shares = shm_shares(context->shm, 0);
    w.f->client.local = false;
    w.f->client.account.share = shm_share_of_client(context->shm, &w.f->client.address);
    w.ex = exchange_new(&w.f->client, &no_ops, NULL);
    return w;
}

static void world_free(world_t *w)
{
    exchange_end(&w->ex, EXCHANGE_END_CLIENT_GONE);
    shm_free(&w->f->context->shm);
    context_fixture_free(w->f);
}

/* An exchange of a client over its share holds a few KiB, others all. */
static void check_share(uint64_t given, uint64_t share)
{
    world_t w = world_new();
    context_t *context = w.f->context;
    uint64_t memory = context->conf->limits.memory_bytes;
    ((conf_t *)(uintptr_t)context->conf)->limits.memory_per_client_bytes = given;
    assert_int_equal(budget_share(context->conf), share);
    account_add(&w.f->client.account, share);
    account_add(&context->memory.account, (memory - memory / 4) - share);
    assert_int_equal(budget_client(&w.f->client), share);
    assert_int_equal(budget_bound(w.ex, 65536), 65536);
    assert_false(budget_is_short(w.ex));
    account_add(&w.f->client.account, 1);
    assert_true(budget_is_short(w.ex));
    assert_int_equal(budget_bound(w.ex, 65536), BUDGET_FLOOR_BYTES);
    assert_int_equal(budget_bound(w.ex, 100), 100);
    account_sub(&w.f->client.account, share + 1);
    account_sub(&context->memory.account, (memory - memory / 4) - share);
    world_free(&w);
}

/* The share is an eighth unless it is configured. */
static void test_share_of_a_client(void **state)
{
    (void)state;
    world_t w = world_new();
    uint64_t memory = w.f->context->conf->limits.memory_bytes;
    world_free(&w);
    check_share(0, memory / 8);
    check_share(memory / 32, memory / 32);
    check_share(memory / 2, memory / 2);
}

static void test_connections_keep_half(void **state)
{
    (void)state;
    world_t w = world_new();
    client_t *client = &w.f->client;
    uint64_t half = w.f->context->conf->limits.memory_bytes / 2;
    client_keeps(client, 0, half - 1);
    assert_false(budget_is_crowded(w.f->context));
    client_keeps(client, half - 1, half);
    assert_true(budget_is_crowded(w.f->context));
    assert_int_equal(budget_client(client), half);
    client_keeps(client, half, 0);
    assert_int_equal(w.f->context->connection_bytes, 0);
    world_free(&w);
}

/* An address over its share from 7/8 on. The TLS of a connection does not count against the connection. */
static void test_who_gets_no_tls(void **state)
{
    (void)state;
    world_t w = world_new();
    context_t *context = w.f->context;
    client_t *client = &w.f->client;
    uint64_t memory = context->conf->limits.memory_bytes, share = memory / 8;
    account_add(&client->account, share + CONN_TLS_STATE_BYTES);
    account_add(&context->memory.account, memory / 8 * 7 - share - CONN_TLS_STATE_BYTES - 1);
    assert_false(budget_refuses_tls(client));
    account_add(&context->memory.account, 1);
    assert_true(budget_refuses_tls(client));
    client->tls = true;
    assert_false(budget_refuses_tls(client));
    account_sub(&context->memory.account, memory / 8 * 7 - share - CONN_TLS_STATE_BYTES);
    account_sub(&client->account, share + CONN_TLS_STATE_BYTES);
    client->tls = false;

    /* From twice the memory on, no client is served, also one that holds none of it. */
    context->memory.held += 2 * memory - 1;
    context->connection_bytes = memory;
    assert_false(budget_refuses_tls(client));
    context->memory.held++;
    assert_true(budget_refuses_tls(client));
    context->memory.held -= 2 * memory;
    context->connection_bytes = 0;
    world_free(&w);
}

/* A box's share is the sum of its exchanges, whichever client they come from. */
static void test_share_of_a_box(void **state)
{
    (void)state;
    world_t w = world_new();
    context_t *context = w.f->context;
    uint64_t memory = context->conf->limits.memory_bytes;
    exchange_count(w.ex); /* its head came before the box is known */
    uint64_t own = w.ex->arena_bytes;
    exchange_set_share(w.ex, STR("sweet-shark-26021"));
    assert_int_equal(budget_exchange(w.ex), own);
    account_add(&w.ex->account, memory / 8 - own);
    account_add(&context->memory.account, (memory - memory / 4) - memory / 8);
    assert_false(budget_is_short(w.ex));
    account_add(&w.ex->account, 1);
    assert_true(budget_is_short(w.ex));
    account_sub(&w.ex->account, memory / 8 - own + 1);
    account_sub(&context->memory.account, (memory - memory / 4) - memory / 8);
    world_free(&w);
}

/* Trusted proxies carry several clients' requests, and the health listener the operator's. */
static void test_who_has_no_bound(void **state)
{
    (void)state;
    world_t w = world_new();
    client_t *client = &w.f->client;
    account_add(&client->account, 100);
    assert_int_equal(budget_client(client), 100);
    assert_true(budget_may_close(client));
    client->kind = CONF_LISTENER_HEALTH;
    assert_int_equal(budget_client(client), 0);
    client->kind = CONF_LISTENER_PLAIN;
    assert_int_equal(inet_pton(AF_INET6, "::ffff:10.1.2.3", &client->address), 1);
    assert_int_equal(budget_client(client), 0);
    assert_false(budget_may_close(client));
    account_sub(&client->account, 100);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_bounds_without_shares),
        cmocka_unit_test(test_what_the_kernel_holds),
        cmocka_unit_test(test_what_connections_keep),
        cmocka_unit_test(test_connections_keep_half),
        cmocka_unit_test(test_who_gets_no_tls),
        cmocka_unit_test(test_share_of_a_client),
        cmocka_unit_test(test_share_of_a_box),
        cmocka_unit_test(test_who_has_no_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
