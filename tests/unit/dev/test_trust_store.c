/* Which authorities may be installed: the edge's own, for the names that its constraints have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "local_ca.h"
#include "trust_store.h"

typedef struct world {
    char dir[64];
    char path[128];
} world_t;

static int set_up(void **state)
{
    world_t *w = calloc(1, sizeof(*w));
    char error[256];
    tls_pem_t leaf;
    const str_t extra[] = {STR("api.test")};
    assert_non_null(w);
    snprintf(w->dir, sizeof(w->dir), "/tmp/trust-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    assert_true(
        local_ca_ensure(w->dir, "p.test", extra, 1, (uint64_t)time(NULL), &leaf, error, sizeof(error)));
    tls_pem_fini(&leaf);
    snprintf(w->path, sizeof(w->path), "%s/ca/ca.pem", w->dir);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    static const char *const files[] = {"ca/ca.pem", "ca/ca.key", "ca/leaf.pem", "ca/leaf.key"};
    world_t *w = *state;
    char path[128];
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", w->dir, files[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/ca", w->dir);
    rmdir(path);
    rmdir(w->dir);
    free(w);
    return 0;
}

static bool reads(const world_t *w, const char *domain, char *const *extra, size_t count, char error[512])
{
    trust_authority_t authority;
    bool ok = trust_authority_read(w->path, domain, extra, count, &authority, error, 512);
    if (ok) {
        assert_string_equal(authority.domains, "p.test, api.test");
        assert_int_equal(strlen(authority.print), TRUST_PRINT_MAX);
        assert_non_null(strstr(authority.name, "boxedge local CA for p.test ("));
        assert_int_equal(strncmp(authority.pem, "-----BEGIN CERTIFICATE-----\n", 28), 0);
    }
    trust_authority_fini(&authority);
    return ok;
}

static void its_names_are_those_of_the_configuration(void **state)
{
    const world_t *w = *state;
    char error[512], api[] = "api.test", other[] = "other.test", *good[] = {api, other}, *bad[] = {other};
    assert_true(reads(w, "p.test", good, 2, error));
    assert_true(reads(w, "P.Test", good, 1, error));
    assert_false(reads(w, "p.test", bad, 1, error)); /* it may vouch for api.test too */
    assert_non_null(strstr(error, "could vouch for other sites"));
    assert_false(reads(w, "test", good, 1, error));
    assert_false(reads(w, "p.test", NULL, 0, error));
}

/* The leaf is no authority and has no constraints. */
static void a_leaf_is_refused(void **state)
{
    world_t *w = *state;
    char error[512], api[] = "api.test", *extra[] = {api};
    snprintf(w->path, sizeof(w->path), "%s/ca/leaf.pem", w->dir);
    assert_false(reads(w, "p.test", extra, 1, error));
    snprintf(w->path, sizeof(w->path), "%s/ca/ca.key", w->dir);
    assert_false(reads(w, "p.test", extra, 1, error));
    assert_non_null(strstr(error, "holds no certificate"));
    snprintf(w->path, sizeof(w->path), "%s/none", w->dir);
    assert_false(reads(w, "p.test", extra, 1, error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(its_names_are_those_of_the_configuration, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_leaf_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
