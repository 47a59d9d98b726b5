/* Several processes on one store: readers that follow a writer, readers that die, and a writer that is killed
 * at any moment. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "store_fixture.h"

#define ROUNDS 20

/* Two pipes: from the child, to the child. */
typedef struct link {
    pid_t pid;
    int from;
    int to;
} link_t;

/* Forks; in the child, `run` is called with its ends, and its result is the exit status. */
static link_t start(fixture_t *f, int (*run)(fixture_t *f, int in, int out))
{
    int up[2], down[2];
    assert_int_equal(pipe(up), 0);
    assert_int_equal(pipe(down), 0);
    link_t link = {.pid = fork(), .from = up[0], .to = down[1]};
    assert_true(link.pid >= 0);
    if (link.pid == 0) {
        close(up[0]);
        close(down[1]);
        _exit(run(f, down[0], up[1]));
    }
    close(up[1]);
    close(down[0]);
    return link;
}

static int wait_for(link_t *link)
{
    int status;
    assert_int_equal(waitpid(link->pid, &status, 0), link->pid);
    close(link->from);
    close(link->to);
    return status;
}

static void expect_byte(int fd)
{
    char byte;
    assert_int_equal(read(fd, &byte, 1), 1);
}

/* ---- readers ---- */

static bool child_sees(store_t *store, const char *id, store_result_t wanted)
{
    store_preview_t preview;
    return store_get_preview(store, str_from(id), 80, &preview) == wanted;
}

/* Opens with a map of the given size, reports it, and after each byte from the parent reports its view. */
static int follow(fixture_t *f, int in, int out, uint64_t map_bytes)
{
    char error[256], byte = 0;
    store_t *store = store_open(f->durable, f->scratch, map_bytes, false, error, sizeof(error));
    if (store == NULL || !child_sees(store, "a", STORE_NOT_FOUND) || write(out, &byte, 1) != 1)
        return 1;
    if (read(in, &byte, 1) != 1 || !child_sees(store, "a", STORE_OK) || write(out, &byte, 1) != 1)
        return 2;
    if (read(in, &byte, 1) != 1 || !child_sees(store, "a", STORE_NOT_FOUND) || write(out, &byte, 1) != 1)
        return 3;
    store_close(&store);
    return 0;
}

static int follow_same_map(fixture_t *f, int in, int out)
{
    return follow(f, in, out, FIXTURE_MAP_BYTES);
}

static int follow_small_map(fixture_t *f, int in, int out)
{
    return follow(f, in, out, 64 << 10);
}

/* Enough for `bytes` of map. */
static void grow(store_t *store)
{
    enum { MANY = 16000 };
    static store_change_t changes[MANY];
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < MANY; i++)
            changes[i] =
                (store_change_t){.preview = fixture_preview(round == 0 ? "x" : "y", (uint16_t)(i + 1))};
        assert_int_equal(store_apply(store, changes, MANY), STORE_OK);
    }
}

static void follows(fixture_t *f, int (*run)(fixture_t *f, int in, int out))
{
    link_t child = start(f, run);
    fixture_open(f, FIXTURE_MAP_BYTES);
    expect_byte(child.from);
    grow(f->store);
    store_preview_t preview = fixture_preview("a", 80);
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
    assert_int_equal(write(child.to, "", 1), 1);
    expect_byte(child.from);
    assert_int_equal(store_delete_preview(f->store, STR("a"), 80), STORE_OK);
    assert_int_equal(write(child.to, "", 1), 1);
    expect_byte(child.from);
    assert_int_equal(wait_for(&child), 0);
    assert_int_equal(store_reap_readers(f->store), 0);
}

static void test_reader_follows(void **state)
{
    fixture_t *f = *state;
    store_close(&f->store);
    follows(f, follow_same_map);
}

/* The writer's map grows beyond the reader's, as after a change of the configuration. */
static void test_reader_with_a_smaller_map_follows(void **state)
{
    fixture_t *f = *state;
    store_close(&f->store);
    follows(f, follow_small_map);
}

static int read_and_hang(fixture_t *f, int in, int out)
{
    char error[256], byte = 0;
    store_t *store = store_open(f->durable, f->scratch, FIXTURE_MAP_BYTES, false, error, sizeof(error));
    if (store == NULL || !child_sees(store, "a", STORE_NOT_FOUND) || write(out, &byte, 1) != 1)
        return 1;
    (void)!read(in, &byte, 1);
    return 0;
}

static void test_dead_readers_are_reaped(void **state)
{
    fixture_t *f = *state;
    store_close(&f->store);
    link_t child = start(f, read_and_hang);
    expect_byte(child.from);
    fixture_open(f, FIXTURE_MAP_BYTES);
    store_stats_t stats;
    assert_int_equal(store_get_stats(f->store, &stats), STORE_OK);
    assert_int_equal(stats.readers, 4);
    assert_int_equal(store_reap_readers(f->store), 0);
    assert_int_equal(kill(child.pid, SIGKILL), 0);
    assert_true(WIFSIGNALED(wait_for(&child)));
    assert_int_equal(store_reap_readers(f->store), 7); /* one in each environment */
    assert_int_equal(store_reap_readers(f->store), 0);
    assert_int_equal(store_get_stats(f->store, &stats), STORE_OK);
    assert_int_equal(stats.readers, 2);
}

/* ---- a writer that is killed ---- */

/* The writer's acknowledged changes, in memory that outlives it: `done` counts them. */
typedef struct progress {
    _Atomic uint64_t done;
    _Atomic uint64_t version; /* the highest that was acknowledged */
} progress_t;

static progress_t *progress;

/*
 * Change number n, in every round from n = done on: puts or replaces "box-<n mod 50>" with created_at n;
 * every seventh deletes it instead; every eleventh is a commit of three such changes. Boxes go along.
 */
static uint64_t created_by(uint64_t n, uint64_t slot)
{
    return n * 1000 + slot;
}

static size_t changes_of(uint64_t n, store_change_t changes[3])
{
    size_t count = n % 11 == 0 ? 3 : 1;
    for (size_t i = 0; i < count; i++) {
        uint64_t slot = (n + i) % 50;
        char id[32];
        snprintf(id, sizeof(id), "box-%u", (unsigned)slot);
        changes[i] = (store_change_t){.remove = n % 7 == 0, .preview = fixture_preview(id, 80)};
        changes[i].preview.created_at = created_by(n, slot);
    }
    return count;
}

static int write_for_ever(fixture_t *f, int in, int out)
{
    (void)in;
    char error[256];
    store_t *store = store_open(f->durable, f->scratch, FIXTURE_MAP_BYTES, true, error, sizeof(error));
    if (store == NULL || write(out, "", 1) != 1)
        return 1;
    for (;;) {
        uint64_t n = progress->done;
        store_change_t changes[3];
        size_t count = changes_of(n, changes);
        store_box_t box = fixture_box(changes[0].preview.id, BOX_RUNNING);
        box.generation = n;
        if (store_apply(store, changes, count) != STORE_OK || store_put_box(store, &box) != STORE_OK)
            return 2;
        for (size_t i = 0; i < count; i++)
            if (!changes[i].remove) {
                if (changes[i].preview.version <= progress->version)
                    return 3;
                progress->version = changes[i].preview.version;
            }
        progress->done = n + 1;
        if (write(out, "", 1) != 1)
            return 4;
    }
}

/* The expected records after the changes 0 to n-1: created_at of each slot, 0 if deleted. */
static void replay(uint64_t n, uint64_t wanted[50])
{
    memset(wanted, 0, 50 * sizeof(wanted[0]));
    /* Older changes were overwritten: each slot is met every 50 changes. */
    for (uint64_t i = n > 200 ? n - 200 : 0; i < n; i++) {
        store_change_t changes[3];
        size_t count = changes_of(i, changes);
        for (size_t c = 0; c < count; c++)
            wanted[(i + c) % 50] = changes[c].remove ? 0 : changes[c].preview.created_at;
    }
}

typedef struct found {
    uint64_t created[50];
    uint64_t versions[50];
    size_t count;
} found_t;

static bool find_slot(const store_preview_t *preview, void *arg)
{
    found_t *found = arg;
    uint64_t slot;
    assert_true(str_starts(str_from(preview->id), STR("box-")));
    assert_true(str_to_uint(str_from(preview->id + 4), 49, &slot));
    found->created[slot] = preview->created_at;
    found->versions[slot] = preview->version;
    found->count++;
    return true;
}

/* The store holds the acknowledged changes, or those and the whole of the one change that was under way. */
static void expect_done(fixture_t *f, uint64_t done)
{
    uint64_t before[50], after[50];
    found_t found = {0};
    replay(done, before);
    replay(done + 1, after);
    assert_int_equal(store_each_preview(f->store, find_slot, &found), STORE_OK);
    bool is_before = memcmp(found.created, before, sizeof(before)) == 0;
    bool is_after = memcmp(found.created, after, sizeof(after)) == 0;
    assert_true(is_before || is_after);
    store_stats_t stats;
    assert_int_equal(store_get_stats(f->store, &stats), STORE_OK);
    assert_int_equal(stats.previews, found.count); /* the listing is complete */
    for (unsigned slot = 0; slot < 50; slot++) {
        char id[32];
        snprintf(id, sizeof(id), "box-%u", slot);
        store_preview_t preview;
        store_result_t result = store_get_preview(f->store, str_from(id), 80, &preview);
        assert_int_equal(result, found.created[slot] != 0 ? STORE_OK : STORE_NOT_FOUND);
        if (result == STORE_OK)
            assert_int_equal(preview.created_at, found.created[slot]);
        for (unsigned other = 0; other < slot; other++)
            assert_true(found.versions[slot] == 0 || found.versions[slot] != found.versions[other]);
    }
    /* The next version is one that nobody has seen. */
    store_preview_t probe = fixture_preview("probe", 1);
    assert_int_equal(store_put_preview(f->store, &probe), STORE_OK);
    assert_true(probe.version > progress->version);
    progress->version = probe.version;
    assert_int_equal(store_delete_preview(f->store, STR("probe"), 1), STORE_OK);
}

static void test_killed_writer(void **state)
{
    fixture_t *f = *state;
    store_close(&f->store);
    progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(progress != MAP_FAILED);
    uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int round = 0; round < ROUNDS; round++) {
        link_t child = start(f, write_for_ever);
        expect_byte(child.from);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        for (uint64_t changes = 1 + (seed >> 33) % 60; changes-- > 0;)
            expect_byte(child.from);
        /* The moment is the point here: anywhere within some changes more. */
        struct timespec moment = {.tv_nsec = (long)(seed >> 40) % 1000000};
        nanosleep(&moment, NULL);
        assert_int_equal(kill(child.pid, SIGKILL), 0);
        assert_true(WIFSIGNALED(wait_for(&child)));
        fixture_open(f, FIXTURE_MAP_BYTES);
        expect_done(f, progress->done);
        store_close(&f->store);
    }
    assert_true(progress->done > ROUNDS);
    munmap(progress, sizeof(*progress));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reader_follows, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_reader_with_a_smaller_map_follows, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_dead_readers_are_reaped, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_killed_writer, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
