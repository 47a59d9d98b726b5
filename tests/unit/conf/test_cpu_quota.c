/* The CPU quota of a control group and its ancestors. */
#include "cpu_quota.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void texts(void **state)
{
    (void)state;
    assert_int_equal(cpu_quota_parse(STR("max 100000\n")), 0);
    assert_int_equal(cpu_quota_parse(STR("100000 100000\n")), 1);
    assert_int_equal(cpu_quota_parse(STR("150000 100000\n")), 2);
    assert_int_equal(cpu_quota_parse(STR("200000 100000")), 2);
    assert_int_equal(cpu_quota_parse(STR("1000 100000\n")), 1);
    assert_int_equal(cpu_quota_parse(STR("4294967295 1\n")), 4294967295u);
    const str_t bad[] = {STR(""),      STR("\n"),     STR("100000"),  STR("0 100000\n"),
                         STR("1 0\n"), STR("-1 100"), STR("1 1 1\n"), STR("4294967296 1\n")};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(cpu_quota_parse(bad[i]), 0);
}

static void write_quota(const char *root, const char *group, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s%s", root, group);
    assert_true(mkdir(path, 0700) == 0 || access(path, X_OK) == 0);
    snprintf(path, sizeof(path), "%s%s/cpu.max", root, group);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void remove_group(const char *root, const char *group)
{
    char path[256];
    snprintf(path, sizeof(path), "%s%s/cpu.max", root, group);
    (void)unlink(path);
    snprintf(path, sizeof(path), "%s%s", root, group);
    assert_int_equal(rmdir(path), 0);
}

static void smallest_of_the_groups_above(void **state)
{
    (void)state;
    char root[] = "/tmp/boxedge-quota-XXXXXX";
    assert_non_null(mkdtemp(root));
    const str_t self = STR("4:memory:/x\n0::/a/b\n"), top = STR("0::/\n");
    assert_int_equal(cpu_quota_apply(root, self, 64), 64); /* no files */
    write_quota(root, "/a", "300000 100000\n");
    write_quota(root, "/a/b", "max 100000\n");
    assert_int_equal(cpu_quota_apply(root, self, 64), 3);
    write_quota(root, "/a/b", "150000 100000\n");
    assert_int_equal(cpu_quota_apply(root, self, 64), 2);
    assert_int_equal(cpu_quota_apply(root, self, 1), 1);
    assert_int_equal(cpu_quota_apply(root, top, 64), 64);
    write_quota(root, "", "100000 100000\n"); /* the paths that a container sees */
    assert_int_equal(cpu_quota_apply(root, top, 64), 1);
    assert_int_equal(cpu_quota_apply(root, self, 64), 1);
    assert_int_equal(cpu_quota_apply(root, STR("4:memory:/x\n"), 64), 1);
    assert_int_equal(cpu_quota_apply(root, STR(""), 0), 1);
    remove_group(root, "/a/b");
    remove_group(root, "/a");
    remove_group(root, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(smallest_of_the_groups_above),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
