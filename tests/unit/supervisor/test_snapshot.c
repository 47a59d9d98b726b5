/* A configuration with its files, loaded as a whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "process.h"
#include "snapshot.h"

static char dir[64], path[128];
static char *said; /* output of the last load */

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/boxedge-test-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(path, sizeof(path), "%s/edge.yaml", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const names[] = {
        "edge.yaml", "state/ca/ca.pem", "state/ca/ca.key", "state/ca/leaf.pem", "state/ca/leaf.key",
        "state/ca",  "state/store",     "state",           "run/store",         "run",
        "edge.yaml"};
    char name[128];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(name, sizeof(name), "%s/%s", dir, names[i]);
        (void)remove(name);
    }
    free(said);
    said = NULL;
    return rmdir(dir);
}

/* Writes the file: one listener of `kind`, directories in `dir`, and further lines. */
static void write_conf(const char *kind, const char *more)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fprintf(file,
            "preview_domain: preview.example\npublic_port: 8443\nuser: \"\"\nstate_dir: %s/state\nrun_dir: "
            "%s/run\nlisteners: [{address: \"127.0.0.1:8443\", kind: %s}]\n%s",
            dir, dir, kind, more);
    fclose(file);
}

static snapshot_t *load(const conf_t *running)
{
    size_t len;
    free(said);
    FILE *out = open_memstream(&said, &len);
    snapshot_t *snapshot = snapshot_load(path, running, out);
    fclose(out);
    return snapshot;
}

static bool load_keys(snapshot_t *snapshot, uint64_t now_unix)
{
    size_t len;
    free(said);
    FILE *out = open_memstream(&said, &len);
    bool ok = snapshot_load_keys(snapshot, now_unix, out);
    fclose(out);
    return ok;
}

static void directories_and_the_local_authority_are_made(void **state)
{
    (void)state;
    struct stat st;
    char name[128];
    write_conf("tls", "");
    snapshot_t *snapshot = load(NULL);
    assert_non_null(snapshot);
    snprintf(name, sizeof(name), "%s/run/store", dir);
    assert_int_equal(stat(name, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    snprintf(name, sizeof(name), "%s/state/ca", dir);
    assert_int_equal(stat(name, &st), -1); /* not before the lock is held */
    assert_true(load_keys(snapshot, (uint64_t)time(NULL)));
    assert_true(snapshot->local_authority);
    assert_int_equal(snapshot->pem_count, 1);

    /* A worker gets exactly the loaded configuration. */
    char error[256];
    tls_pem_t *pems;
    size_t count;
    conf_t *conf = process_conf_read(snapshot->conf_fd, error, sizeof(error));
    assert_non_null(conf);
    assert_string_equal(conf->state_dir, snapshot->conf->state_dir);
    conf_release(&conf);
    assert_true(process_pems_read(snapshot->pems_fd, &pems, &count));
    assert_int_equal(count, 1);
    assert_string_equal(pems[0].key, snapshot->pems[0].key);
    process_pems_free(&pems, count);
    snapshot_free(&snapshot);
    assert_null(snapshot);
}

static void without_tls_there_are_no_keys(void **state)
{
    (void)state;
    write_conf("health", "");
    snapshot_t *snapshot = load(NULL);
    assert_true(load_keys(snapshot, 0));
    assert_int_equal(snapshot->pem_count, 0);
    assert_false(snapshot->local_authority);
    snapshot_free(&snapshot);
}

static void a_leaf_is_renewed_before_it_expires(void **state)
{
    (void)state;
    uint64_t now = (uint64_t)time(NULL);
    write_conf("tls", "");
    snapshot_t *snapshot = load(NULL);
    assert_true(load_keys(snapshot, now));
    assert_null(snapshot_renew(snapshot, now + 86400, stderr));
    snapshot_t *next = snapshot_renew(snapshot, now + 396u * 86400, stderr);
    assert_non_null(next);
    assert_string_not_equal(next->pems[0].chain, snapshot->pems[0].chain);
    assert_ptr_equal(next->conf, snapshot->conf);
    snapshot_free(&snapshot);
    assert_string_equal(next->conf->preview_domain, "preview.example"); /* held by itself */
    snapshot_free(&next);
}

static void what_cannot_change_is_said_by_name(void **state)
{
    (void)state;
    write_conf("health", "");
    snapshot_t *snapshot = load(NULL);
    write_conf("health", "admin: {socket: /tmp/other.sock}\nstore: {map_size: 1GiB}\n");
    assert_null(load(snapshot->conf));
    assert_non_null(strstr(said, "admin.socket: cannot change"));
    assert_non_null(strstr(said, "store.map_size: cannot change"));
    assert_null(strstr(said, "run_dir"));
    write_conf("redirect", "workers: 7\n");
    snapshot_t *next = load(snapshot->conf);
    assert_non_null(next);
    snapshot_free(&next);
    snapshot_free(&snapshot);
}

static void workers_have_a_bound(void **state)
{
    (void)state;
    char more[32];
    snprintf(more, sizeof(more), "workers: %d\n", SHM_WORKERS_MAX);
    write_conf("health", more);
    snapshot_t *snapshot = load(NULL);
    assert_non_null(snapshot);
    snapshot_free(&snapshot);
    snprintf(more, sizeof(more), "workers: %d\n", SHM_WORKERS_MAX + 1);
    write_conf("health", more);
    assert_null(load(NULL));
    assert_non_null(strstr(said, "workers"));
}

static void a_missing_file_is_said(void **state)
{
    (void)state;
    assert_null(load(NULL));
    assert_non_null(strstr(said, path));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(directories_and_the_local_authority_are_made),
        TEST(without_tls_there_are_no_keys),
        TEST(a_leaf_is_renewed_before_it_expires),
        TEST(what_cannot_change_is_said_by_name),
        TEST(workers_have_a_bound),
        TEST(a_missing_file_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
