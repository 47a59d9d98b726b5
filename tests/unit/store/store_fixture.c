#include "store_fixture.h"

#include <fcntl.h>
#include <stdlib.h>

#include "table.h"

void fixture_open(fixture_t *f, uint64_t map_bytes)
{
    char error[256] = "";
    f->store = store_open(f->durable, f->scratch, map_bytes, true, error, sizeof(error));
    if (f->store == NULL)
        fail_msg("%s", error);
}

void fixture_make_in(fixture_t *f, const char *where)
{
    snprintf(f->root, sizeof(f->root), "%s/boxedge-test-XXXXXX", where);
    assert_non_null(mkdtemp(f->root));
    snprintf(f->durable, sizeof(f->durable), "%s/durable", f->root);
    snprintf(f->scratch, sizeof(f->scratch), "%s/volatile", f->root);
    assert_int_equal(mkdir(f->durable, 0700), 0);
    assert_int_equal(mkdir(f->scratch, 0700), 0);
    f->store = NULL;
}

void fixture_make(fixture_t *f)
{
    /* In memory if possible: the store's promises here do not depend on a disk, and thousands of syncs would
     * take minutes on a busy one. */
    fixture_make_in(f, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
}

void fixture_remove(fixture_t *f)
{
    store_close(&f->store);
    static const char *const names[] = {"/rules", "/keys", "/deletions", "/aliases", "/links", ""};
    for (size_t i = 0; i <= sizeof(names) / sizeof(names[0]); i++) {
        char dir[128], path[160];
        bool last = i == sizeof(names) / sizeof(names[0]);
        snprintf(dir, sizeof(dir), "%s%s", last ? f->scratch : f->durable, last ? "" : names[i]);
        snprintf(path, sizeof(path), "%s/data.mdb", dir);
        (void)unlink(path);
        snprintf(path, sizeof(path), "%s/lock.mdb", dir);
        (void)unlink(path);
        (void)rmdir(dir);
    }
    assert_int_equal(rmdir(f->root), 0);
}

int fixture_setup(void **state)
{
    fixture_t *f = malloc(sizeof(*f));
    assert_non_null(f);
    fixture_make(f);
    fixture_open(f, FIXTURE_MAP_BYTES);
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    fixture_remove(*state);
    free(*state);
    return 0;
}

void fixture_flip(fixture_t *f, const char *environment, str_t bytes)
{
    char path[160];
    struct stat st;
    store_close(&f->store);
    snprintf(path, sizeof(path), "%s/%s/data.mdb", f->durable, environment);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    char *file = malloc((size_t)st.st_size), *end = file + st.st_size;
    assert_non_null(file);
    assert_int_equal(pread(fd, file, (size_t)st.st_size, 0), st.st_size);
    size_t flips = 0;
    for (char *at = file; (at = memmem(at, (size_t)(end - at), bytes.p, bytes.n)) != NULL; flips++)
        at[bytes.n - 1] ^= 1;
    assert_true(flips > 0);
    assert_int_equal(pwrite(fd, file, (size_t)st.st_size, 0), st.st_size);
    close(fd);
    free(file);
    fixture_open(f, FIXTURE_MAP_BYTES);
}

bool fixture_count(const store_preview_t *preview, void *count)
{
    (void)preview;
    ++*(size_t *)count;
    return true;
}

size_t fixture_listed(store_t *store)
{
    size_t count = 0;
    assert_int_equal(store_each_preview(store, fixture_count, &count), STORE_OK);
    return count;
}

store_preview_t fixture_preview(const char *id, uint16_t port)
{
    store_preview_t preview = {.port = port, .created_at = 1700000000u + port};
    snprintf(preview.id, sizeof(preview.id), "%s", id);
    return preview;
}

store_box_t fixture_box(const char *id, box_state_t state)
{
    store_box_t box = {.state = state, .generation = 7, .address = IN6ADDR_LOOPBACK_INIT, .fixed_port = 8080};
    snprintf(box.id, sizeof(box.id), "%s", id);
    return box;
}

void fixture_damage_rules(fixture_t *f)
{
    store_close(&f->store);
    char error[TABLE_ERROR_MAX], dir[128];
    snprintf(dir, sizeof(dir), "%s/rules", f->durable);
    table_t *table =
        table_open(&(table_options_t){.dir = dir, .map_bytes = FIXTURE_MAP_BYTES, .writer = true}, error);
    assert_non_null(table);
    assert_int_equal(table_write_begin(table), STORE_OK);
    assert_int_equal(table_put(table, STR("bad"), 0, STR("\xff what a later edge wrote")), STORE_OK);
    assert_int_equal(table_write_commit(table), STORE_OK);
    table_close(&table);
    fixture_open(f, FIXTURE_MAP_BYTES);
}
