/* Records from another edge or from nobody, colliding hashes, and foreign layouts: written with LMDB itself
 * into a closed store. */
#include <lmdb.h>

#include "bucket.h"
#include "store_fixture.h"
#include "table.h"

/* ---- below the store ---- */

typedef struct raw {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
} raw_t;

static raw_t raw_open(const char *dir, const char *database)
{
    raw_t raw;
    assert_int_equal(mdb_env_create(&raw.env), 0);
    assert_int_equal(mdb_env_set_maxdbs(raw.env, 3), 0);
    assert_int_equal(mdb_env_open(raw.env, dir, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(raw.env, NULL, 0, &raw.txn), 0);
    assert_int_equal(mdb_dbi_open(raw.txn, database, 0, &raw.dbi), 0);
    return raw;
}

static void raw_close(raw_t *raw)
{
    assert_int_equal(mdb_txn_commit(raw->txn), 0);
    mdb_env_close(raw->env);
}

/* The bucket that holds `id`, copied into `bytes` with room for 512; its key in *hash. */
static size_t raw_bucket(raw_t *raw, const char *id, size_t *hash, char bytes[512])
{
    MDB_cursor *cursor;
    MDB_val key, value;
    assert_int_equal(mdb_cursor_open(raw->txn, raw->dbi, &cursor), 0);
    int rc;
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        if (memmem(value.mv_data, value.mv_size, id, strlen(id)) != NULL)
            break;
    assert_int_equal(rc, 0);
    assert_int_equal(key.mv_size, sizeof(*hash));
    assert_true(value.mv_size <= 512);
    memcpy(hash, key.mv_data, sizeof(*hash));
    memcpy(bytes, value.mv_data, value.mv_size);
    size_t size = value.mv_size;
    mdb_cursor_close(cursor);
    return size;
}

static void raw_put(raw_t *raw, size_t hash, const char *bytes, size_t size)
{
    MDB_val key = {sizeof(hash), &hash}, value = {size, (void *)(uintptr_t)bytes};
    assert_int_equal(mdb_put(raw->txn, raw->dbi, &key, &value, 0), 0);
}

static void put(fixture_t *f, const char *id)
{
    store_preview_t preview = fixture_preview(id, 80);
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
}

static store_result_t get(fixture_t *f, const char *id)
{
    store_preview_t got;
    return store_get_preview(f->store, str_from(id), 80, &got);
}

static bool count_block(const store_block_t *block, void *count)
{
    (void)block;
    ++*(size_t *)count;
    return true;
}

/* Writes a record of any bytes for "later", port 80, and for the box "later". */
static void put_record(fixture_t *f, str_t record)
{
    store_close(&f->store);
    char error[TABLE_ERROR_MAX];
    for (int durable = 0; durable < 2; durable++) {
        table_options_t options = {.dir = durable ? f->durable : f->scratch,
                                   .map_bytes = FIXTURE_MAP_BYTES,
                                   .writer = true,
                                   .synced = durable};
        table_t *table = table_open(&options, error);
        assert_non_null(table);
        assert_int_equal(table_write_begin(table), STORE_OK);
        assert_int_equal(table_put(table, STR("later"), durable ? 80 : 0, record), STORE_OK);
        assert_int_equal(table_write_commit(table), STORE_OK);
        table_close(&table);
    }
    fixture_open(f, FIXTURE_MAP_BYTES);
}

/* ---- records ---- */

static void test_unreadable_records(void **state)
{
    fixture_t *f = *state;
    static const str_t records[] = {
        {"", 0},
        {"\2a record of the next version", 29},
        {"\1short", 6},
        {"\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\7", 18},                     /* no such host_header */
        {"\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 28}, /* no such state */
    };
    put(f, "a");
    put(f, "z");
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        put_record(f, records[i]);
        store_box_t box;
        assert_int_equal(get(f, "later"), STORE_FAILED);
        assert_non_null(strstr(store_error(f->store), "later"));
        assert_int_equal(store_get_box(f->store, STR("later"), &box), STORE_FAILED);
        assert_int_equal(get(f, "a"), STORE_OK);
        assert_int_equal(fixture_listed(f->store), 2);
        /* It can be replaced and deleted. */
        put(f, "later");
        assert_int_equal(get(f, "later"), STORE_OK);
        assert_int_equal(fixture_listed(f->store), 3);
        put_record(f, records[i]);
        assert_int_equal(store_delete_preview(f->store, STR("later"), 80), STORE_OK);
        assert_int_equal(get(f, "later"), STORE_NOT_FOUND);
        assert_int_equal(store_delete_box(f->store, STR("later")), STORE_OK);
        assert_int_equal(fixture_listed(f->store), 2);
    }
}

static void test_broken_buckets(void **state)
{
    fixture_t *f = *state;
    put(f, "keeper");
    for (size_t cut = 1; cut < 10; cut++) {
        put(f, "victim");
        store_close(&f->store);
        raw_t raw = raw_open(f->durable, "records");
        size_t hash;
        char bytes[512];
        size_t size = raw_bucket(&raw, "victim", &hash, bytes);
        raw_put(&raw, hash, bytes, size - cut);
        raw_close(&raw);
        fixture_open(f, FIXTURE_MAP_BYTES);
        assert_int_equal(get(f, "victim"), STORE_FAILED);
        assert_int_equal(get(f, "keeper"), STORE_OK);
        assert_int_equal(fixture_listed(f->store), 1);
        if (cut % 2 == 0) {
            put(f, "victim");
            assert_int_equal(get(f, "victim"), STORE_OK);
            assert_int_equal(fixture_listed(f->store), 2);
        }
        assert_int_equal(store_delete_preview(f->store, STR("victim"), 80), STORE_OK);
        assert_int_equal(get(f, "victim"), STORE_NOT_FOUND);
        assert_int_equal(fixture_listed(f->store), 1);
    }
}

/* Two names with one hash, as the record of "stranger" in the bucket of "mine". */
static void test_colliding_hashes(void **state)
{
    fixture_t *f = *state;
    put(f, "mine");
    put(f, "stranger");
    store_close(&f->store);
    raw_t raw = raw_open(f->durable, "records");
    size_t mine, stranger;
    char bytes[512], more[512];
    /* Without seals, like an edge from before them. */
    size_t size = raw_bucket(&raw, "stranger", &stranger, bytes) - BUCKET_SEAL_BYTES;
    size_t added = raw_bucket(&raw, "mine", &mine, more) - BUCKET_SEAL_BYTES;
    assert_true(size + added <= sizeof(bytes));
    memcpy(bytes + size, more, added);
    raw_put(&raw, mine, bytes, size + added);
    MDB_val key = {sizeof(stranger), &stranger};
    assert_int_equal(mdb_del(raw.txn, raw.dbi, &key, NULL), 0);
    raw_close(&raw);
    fixture_open(f, FIXTURE_MAP_BYTES);
    assert_int_equal(get(f, "mine"), STORE_OK);
    assert_int_equal(get(f, "stranger"), STORE_NOT_FOUND); /* its own bucket is gone */
    put(f, "mine");
    assert_int_equal(get(f, "mine"), STORE_OK);
    assert_int_equal(store_delete_preview(f->store, STR("mine"), 80), STORE_OK);
    assert_int_equal(get(f, "mine"), STORE_NOT_FOUND);
    assert_int_equal(store_delete_preview(f->store, STR("mine"), 80), STORE_NOT_FOUND);
    /* No change of "mine" touched the other record. */
    store_close(&f->store);
    raw = raw_open(f->durable, "records");
    assert_int_equal(raw_bucket(&raw, "stranger", &stranger, more), size + BUCKET_SEAL_BYTES);
    assert_true(stranger == mine);
    assert_memory_equal(more, bytes, size);
    raw_close(&raw);
}

/* Each bit of a record, its name and its seal: no other answer than before. */
static void test_each_bit_of_a_record(void **state)
{
    fixture_t *f = *state;
    store_preview_t preview = fixture_preview("victim", 80), before, after;
    snprintf(preview.label, sizeof(preview.label), "a label");
    snprintf(preview.alias, sizeof(preview.alias), "alias");
    assert_int_equal(store_claim_alias(f->store, STR("alias"), STR("victim")), STORE_OK);
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
    put(f, "keeper");
    assert_int_equal(store_get_preview(f->store, STR("victim"), 80, &before), STORE_OK);
    store_close(&f->store);
    raw_t raw = raw_open(f->durable, "records");
    size_t hash, bits = raw_bucket(&raw, "victim", &hash, (char[512]){0}) * 8;
    raw_close(&raw);
    for (size_t bit = 0; bit < bits; bit++) {
        char bytes[512];
        raw = raw_open(f->durable, "records");
        size_t size = raw_bucket(&raw, bit == 0 ? "victim" : "label", &hash, bytes);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        raw_put(&raw, hash, bytes, size);
        raw_close(&raw);
        fixture_open(f, FIXTURE_MAP_BYTES);
        store_result_t result = store_get_preview(f->store, STR("victim"), 80, &after);
        if (result == STORE_OK)
            assert_memory_equal(&before, &after, sizeof(before));
        else
            assert_true(result == STORE_FAILED && store_bad_record(f->store));
        assert_int_equal(get(f, "keeper"), STORE_OK);
        /* An update that does not know its credentials does not make it public. */
        store_change_t change = {.stay_private = true, .preview = fixture_preview("victim", 80)};
        assert_int_equal(store_apply(f->store, &change, 1), STORE_OK);
        assert_int_equal(change.result, result == STORE_OK ? STORE_OK : STORE_CONFLICT);
        store_close(&f->store);
        raw = raw_open(f->durable, "records");
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        raw_put(&raw, hash, bytes, size);
        raw_close(&raw);
    }
    fixture_open(f, FIXTURE_MAP_BYTES);
}

/* An edge from before the seal reads and replaces records behind it, and deletes to the seal alone. */
static void test_buckets_of_an_earlier_edge(void **state)
{
    fixture_t *f = *state;
    put(f, "victim");
    store_close(&f->store);
    raw_t raw = raw_open(f->durable, "records");
    size_t hash;
    char bytes[512], again[1024];
    size_t size = raw_bucket(&raw, "victim", &hash, bytes), record = size - BUCKET_SEAL_BYTES;
    bucket_entry_t entry;
    assert_int_equal(bucket_find(str_make(bytes, size), STR("victim"), 80, &entry), BUCKET_OK);
    memcpy(again, bytes + record, BUCKET_SEAL_BYTES); /* the old seal, then the new record */
    memcpy(again + BUCKET_SEAL_BYTES, bytes, record);
    raw_put(&raw, hash, again, size);
    raw_close(&raw);
    fixture_open(f, FIXTURE_MAP_BYTES);
    assert_int_equal(get(f, "victim"), STORE_OK);
    store_close(&f->store);
    raw = raw_open(f->durable, "records");
    raw_put(&raw, hash, bytes + record, BUCKET_SEAL_BYTES);
    raw_close(&raw);
    fixture_open(f, FIXTURE_MAP_BYTES);
    assert_int_equal(get(f, "victim"), STORE_NOT_FOUND);
    put(f, "victim");
    assert_int_equal(get(f, "victim"), STORE_OK);
    assert_int_equal(fixture_listed(f->store), 1);
}

/* A block must not end because its record is damaged. */
static void test_a_damaged_block(void **state)
{
    fixture_t *f = *state;
    char dir[128], bytes[512];
    const store_block_t block = {.kind = BLOCK_BOX, .text = "villain", .created_at = 7};
    assert_int_equal(store_put_block(f->store, &block), STORE_OK);
    store_close(&f->store);
    snprintf(dir, sizeof(dir), "%s/rules", f->durable);
    raw_t raw = raw_open(dir, "records");
    size_t hash, size = raw_bucket(&raw, "villain", &hash, bytes);
    bytes[size - 1] ^= 1;
    raw_put(&raw, hash, bytes, size);
    raw_close(&raw);
    fixture_open(f, FIXTURE_MAP_BYTES);
    assert_int_equal(store_each_block(f->store, count_block, &(size_t){0}), STORE_FAILED);
    assert_int_equal(store_put_block(f->store, &block), STORE_OK);
    assert_int_equal(store_each_block(f->store, count_block, &(size_t){0}), STORE_OK);
}

/* A listed name that is malformed, or that has no record. */
static void test_broken_order(void **state)
{
    fixture_t *f = *state;
    put(f, "a");
    store_close(&f->store);
    static const str_t keys[] = {{"\0\0\1", 3}, {"b", 1}, {"b\0\1", 3}, {"b\1\0\120", 4}, {"b\0\0\120", 4}};
    raw_t raw = raw_open(f->durable, "order");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        MDB_val key = {keys[i].n, (void *)(uintptr_t)keys[i].p}, value = {0, NULL};
        assert_int_equal(mdb_put(raw.txn, raw.dbi, &key, &value, 0), 0);
    }
    raw_close(&raw);
    fixture_open(f, FIXTURE_MAP_BYTES);
    assert_int_equal(fixture_listed(f->store), 1);
    put(f, "b");
    assert_int_equal(fixture_listed(f->store), 2);
}

/* ---- the whole store ---- */

static void expect_no_store(fixture_t *f, const char *why)
{
    char error[256] = "";
    f->store = store_open(f->durable, f->scratch, FIXTURE_MAP_BYTES, true, error, sizeof(error));
    assert_null(f->store);
    if (strstr(error, why) == NULL)
        fail_msg("%s", error);
}

static void put_meta(fixture_t *f, str_t name, str_t value)
{
    raw_t raw = raw_open(f->durable, "meta");
    MDB_val key = {name.n, (void *)(uintptr_t)name.p}, data = {value.n, (void *)(uintptr_t)value.p};
    assert_int_equal(mdb_put(raw.txn, raw.dbi, &key, &data, 0), 0);
    raw_close(&raw);
}

static void test_other_layouts(void **state)
{
    fixture_t *f = *state;
    store_close(&f->store);
    put_meta(f, STR("layout"), STR("\2"));
    expect_no_store(f, "the store has format 2 and this edge reads format 1: start the edge that wrote it");
    put_meta(f, STR("layout"), STR("\1\0"));
    expect_no_store(f, "the version of the store's format cannot be read");
    put_meta(f, STR("layout"), STR("\0"));
    expect_no_store(f, "the version of the store's format cannot be read");
    put_meta(f, STR("layout"), STR("\1"));
    put_meta(f, STR("hash_key"), STR("short"));
    expect_no_store(f, "no hash key");
}

/* Additions of a later edge are no reason to refuse its store, and its version number is not lowered. */
static void test_minor_versions(void **state)
{
    fixture_t *f = *state;
    put(f, "a");
    static const struct {
        str_t before;
        char after;
    } minors[] = {{{"\0", 1}, 1}, {{"\1", 1}, 1}, {{"\2", 1}, 2}, {{"\377", 1}, '\377'}};
    for (size_t i = 0; i < sizeof(minors) / sizeof(minors[0]); i++) {
        store_close(&f->store);
        put_meta(f, STR("minor"), minors[i].before);
        fixture_open(f, FIXTURE_MAP_BYTES);
        assert_int_equal(get(f, "a"), STORE_OK);
        store_close(&f->store);
        raw_t raw = raw_open(f->durable, "meta");
        MDB_val key = {5, (void *)(uintptr_t) "minor"}, value;
        assert_int_equal(mdb_get(raw.txn, raw.dbi, &key, &value), 0);
        assert_int_equal(value.mv_size, 1);
        assert_int_equal(*(const char *)value.mv_data, minors[i].after);
        raw_close(&raw);
        fixture_open(f, FIXTURE_MAP_BYTES);
    }
}

static void test_broken_sequence(void **state)
{
    fixture_t *f = *state;
    put(f, "a");
    store_close(&f->store);
    put_meta(f, STR("sequence"), STR("1"));
    fixture_open(f, FIXTURE_MAP_BYTES);
    store_preview_t preview = fixture_preview("b", 80);
    assert_int_equal(store_put_preview(f->store, &preview), STORE_FAILED);
    assert_non_null(strstr(store_error(f->store), "sequence"));
    assert_int_equal(get(f, "b"), STORE_NOT_FOUND);
    assert_int_equal(get(f, "a"), STORE_OK);
}

static void test_no_lmdb_file(void **state)
{
    fixture_t *f = *state;
    store_close(&f->store);
    char path[128], junk[16384];
    memset(junk, 'j', sizeof(junk));
    snprintf(path, sizeof(path), "%s/data.mdb", f->durable);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(junk, 1, sizeof(junk), file), sizeof(junk));
    assert_int_equal(fclose(file), 0);
    expect_no_store(f, "data.mdb is no store");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_unreadable_records, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_broken_buckets, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_colliding_hashes, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_each_bit_of_a_record, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_buckets_of_an_earlier_edge, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_damaged_block, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_minor_versions, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_broken_order, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_other_layouts, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_broken_sequence, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_no_lmdb_file, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
