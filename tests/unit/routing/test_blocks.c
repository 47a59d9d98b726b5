/* Blocks as a worker sees them. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#include "blocks.h"

#include "conf_net.h"
#include "store_fixture.h"

typedef struct world {
    fixture_t store;
    _Atomic uint64_t epoch;
    blocks_t *blocks;
} world_t;

static char logged[1024];

static void log_sentence(bool readable, const char *sentence)
{
    (void)readable;
    strncat(logged, sentence, sizeof(logged) - strlen(logged) - 1);
}

static int setup(void **state)
{
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    fixture_make(&w->store);
    fixture_open(&w->store, FIXTURE_MAP_BYTES);
    w->blocks = blocks_new(w->store.store, &w->epoch, log_sentence);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    blocks_free(&w->blocks);
    assert_null(w->blocks);
    blocks_free(&w->blocks);
    fixture_remove(&w->store);
    free(w);
    return 0;
}

static void block(world_t *w, store_block_kind_t kind, const char *text)
{
    store_block_t one = {.kind = kind, .created_at = 1};
    snprintf(one.text, sizeof(one.text), "%s", text);
    assert_int_equal(store_put_block(w->store.store, &one), STORE_OK);
    w->epoch++;
}

static void unblock(world_t *w, store_block_kind_t kind, const char *text)
{
    assert_int_equal(store_delete_block(w->store.store, kind, str_from(text)), STORE_OK);
    w->epoch++;
}

static bool preview(world_t *w, const char *id, uint16_t port)
{
    return blocks_has_preview(w->blocks, str_from(id), port) == BLOCKS_BLOCKED;
}

static struct in6_addr address(const char *text)
{
    struct in6_addr out;
    char mapped[64];
    snprintf(mapped, sizeof(mapped), strchr(text, ':') != NULL ? "%s" : "::ffff:%s", text);
    assert_int_equal(inet_pton(AF_INET6, mapped, &out), 1);
    return out;
}

static bool client(world_t *w, const char *text)
{
    struct in6_addr at = address(text);
    return blocks_has_client(w->blocks, &at) == BLOCKS_BLOCKED;
}

static void nothing_is_blocked(void **state)
{
    world_t *w = *state;
    struct in6_addr at = address("192.0.2.1");
    assert_int_equal(blocks_has(w->blocks, STR("a"), 80, &at), BLOCKS_CLEAR);
    assert_true(blocks_changed(w->blocks)); /* it was read */
    assert_false(blocks_changed(w->blocks));
}

static void boxes_and_previews(void **state)
{
    world_t *w = *state;
    char longest[BOX_ID_MAX + 1];
    memset(longest, 'x', BOX_ID_MAX);
    longest[BOX_ID_MAX] = '\0';
    block(w, BLOCK_BOX, "my-box");
    block(w, BLOCK_BOX, longest);
    block(w, BLOCK_PREVIEW, "other-3000");
    block(w, BLOCK_PREVIEW, "a-65535");
    assert_true(preview(w, "my-box", 1));
    assert_true(preview(w, "my-box", 65535));
    assert_true(preview(w, longest, 80));
    assert_true(preview(w, "other", 3000));
    assert_true(preview(w, "a", 65535));
    assert_false(preview(w, "other", 3001));
    assert_false(preview(w, "a", 65534));
    assert_false(preview(w, "my", 80));
    assert_false(preview(w, "my-bo", 80));
    assert_false(preview(w, "my-box-1", 80));
    assert_false(preview(w, "other-3000", 80));
    longest[BOX_ID_MAX - 1] = 'y';
    assert_false(preview(w, longest, 80));
    assert_false(client(w, "192.0.2.1"));
    unblock(w, BLOCK_BOX, "my-box");
    unblock(w, BLOCK_PREVIEW, "other-3000");
    assert_false(preview(w, "my-box", 1));
    assert_false(preview(w, "other", 3000));
    assert_true(preview(w, "a", 65535));
}

static void networks(void **state)
{
    world_t *w = *state;
    block(w, BLOCK_CIDR, "192.0.2.0/25");
    block(w, BLOCK_CIDR, "198.51.100.7/32");
    block(w, BLOCK_CIDR, "2001:db8:8000::/33");
    block(w, BLOCK_CIDR, "::/64");
    assert_true(client(w, "192.0.2.0"));
    assert_true(client(w, "192.0.2.127"));
    assert_false(client(w, "192.0.2.128"));
    assert_false(client(w, "192.0.1.255"));
    assert_true(client(w, "198.51.100.7"));
    assert_false(client(w, "198.51.100.6"));
    assert_true(client(w, "2001:db8:8000::1"));
    assert_true(client(w, "2001:db8:ffff:ffff::1"));
    assert_false(client(w, "2001:db8:7fff::1"));
    assert_true(client(w, "::1"));
    assert_false(client(w, "10.0.0.1")); /* ::ffff:10.0.0.1 is in ::/64, and is IPv4 */
    assert_false(preview(w, "a", 80));
    block(w, BLOCK_CIDR, "::/0");
    assert_true(client(w, "2001:db8:7fff::1"));
    assert_false(client(w, "10.0.0.1"));
    block(w, BLOCK_CIDR, "0.0.0.0/0");
    assert_true(client(w, "10.0.0.1"));
}

/* Networks of every length agree with conf_network_has. */
static void lengths(void **state)
{
    world_t *w = *state;
    struct in6_addr base = address("fdab:cdef:123:4567:89ab:cdef:123:4567");
    conf_network_t all[129];
    for (unsigned bits = 1; bits <= 128; bits += 3) {
        char text[64];
        all[bits] = (conf_network_t){.bits = bits};
        for (unsigned i = 0; i < bits; i++)
            all[bits].address.s6_addr[i / 8] |= (uint8_t)(base.s6_addr[i / 8] & (0x80u >> (i % 8)));
        conf_net_print_network(&all[bits], text);
        block(w, BLOCK_CIDR, text);
        for (unsigned flip = 0; flip < 128; flip++) {
            struct in6_addr at = base;
            at.s6_addr[flip / 8] ^= (uint8_t)(0x80u >> (flip % 8));
            assert_int_equal(blocks_has_client(w->blocks, &at) == BLOCKS_BLOCKED,
                             conf_network_has(&all[bits], 1, &at));
        }
        unblock(w, BLOCK_CIDR, text);
    }
}

/* As many as the store takes. */
static void many(void **state)
{
    world_t *w = *state;
    char text[64];
    for (int i = 0; i < STORE_BLOCKS_MAX; i++) {
        if (i % 2 != 0)
            snprintf(text, sizeof(text), "box-%d", i);
        else
            snprintf(text, sizeof(text), "10.%d.%d.0/24", i / 256, i % 256);
        block(w, i % 2 != 0 ? BLOCK_BOX : BLOCK_CIDR, text);
    }
    for (int i = 0; i < STORE_BLOCKS_MAX; i++) {
        snprintf(text, sizeof(text), "box-%d", i);
        assert_int_equal(preview(w, text, 1), i % 2 != 0);
        snprintf(text, sizeof(text), "10.%d.%d.9", i / 256, i % 256);
        assert_int_equal(client(w, text), i % 2 == 0);
    }
}

static void changes_are_seen_with_the_epoch(void **state)
{
    world_t *w = *state;
    assert_true(blocks_changed(w->blocks));
    block(w, BLOCK_BOX, "a");
    w->epoch--;
    assert_false(preview(w, "a", 1)); /* nobody reported a change */
    w->epoch++;
    assert_true(preview(w, "a", 1));
    assert_true(blocks_changed(w->blocks)); /* though another question had read it */
    assert_false(blocks_changed(w->blocks));
    /* Other changes of the store do not reload the list. */
    store_preview_t other = fixture_preview("a", 1);
    assert_int_equal(store_put_preview(w->store.store, &other), STORE_OK);
    w->epoch++;
    assert_false(blocks_changed(w->blocks));
    assert_true(preview(w, "a", 1));
    unblock(w, BLOCK_BOX, "a");
    assert_true(blocks_changed(w->blocks));
    assert_false(preview(w, "a", 1));
}

/* A list that was never read lets nobody in. */
static void a_list_that_cannot_be_read(void **state)
{
    world_t *w = *state;
    struct in6_addr at = address("192.0.2.1");
    block(w, BLOCK_CIDR, "192.0.2.0/24");
    blocks_free(&w->blocks);
    fixture_damage_rules(&w->store);
    w->blocks = blocks_new(w->store.store, &w->epoch, log_sentence);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(blocks_has_client(w->blocks, &at), BLOCKS_UNKNOWN);
        assert_int_equal(blocks_has_preview(w->blocks, STR("a"), 80), BLOCKS_UNKNOWN);
        assert_int_equal(blocks_has(w->blocks, STR("a"), 80, &at), BLOCKS_UNKNOWN);
        assert_false(blocks_changed(w->blocks));
    }
    assert_int_equal(store_delete_block(w->store.store, BLOCK_BOX, STR("bad")), STORE_OK);
    w->epoch++;
    assert_int_equal(blocks_has_client(w->blocks, &at), BLOCKS_BLOCKED);
    assert_int_equal(blocks_has_preview(w->blocks, STR("a"), 80), BLOCKS_CLEAR);
}

/* The sentences that a query logs. */
static const char *log_of_a_query(world_t *w)
{
    logged[0] = '\0';
    (void)blocks_changed(w->blocks);
    return logged;
}

static bool begins_with(const char *text, const char *begin)
{
    return strncmp(text, begin, strlen(begin)) == 0;
}

/* The log names refusal and reason once, and the end once. */
static void the_log_says_that_the_list_cannot_be_read(void **state)
{
    world_t *w = *state;
    static const char failure[] = "the list of blocks cannot be read: ";
    blocks_free(&w->blocks);
    fixture_damage_rules(&w->store);
    w->blocks = blocks_new(w->store.store, &w->epoch, log_sentence);
    const char *text = log_of_a_query(w); /* the first one */
    assert_true(begins_with(text, failure));
    assert_int_not_equal(text[sizeof(failure) - 1], ';'); /* the store's reason */
    assert_non_null(strstr(text, "; requests are answered with 503 until it can"));
    assert_string_equal(log_of_a_query(w), "");
    assert_int_equal(store_delete_block(w->store.store, BLOCK_BOX, STR("bad")), STORE_OK);
    w->epoch++;
    assert_string_equal(log_of_a_query(w), "the list of blocks can be read again");
    assert_string_equal(log_of_a_query(w), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_blocked, setup, teardown),
        cmocka_unit_test_setup_teardown(boxes_and_previews, setup, teardown),
        cmocka_unit_test_setup_teardown(networks, setup, teardown),
        cmocka_unit_test_setup_teardown(lengths, setup, teardown),
        cmocka_unit_test_setup_teardown(many, setup, teardown),
        cmocka_unit_test_setup_teardown(changes_are_seen_with_the_epoch, setup, teardown),
        cmocka_unit_test_setup_teardown(a_list_that_cannot_be_read, setup, teardown),
        cmocka_unit_test_setup_teardown(the_log_says_that_the_list_cannot_be_read, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
