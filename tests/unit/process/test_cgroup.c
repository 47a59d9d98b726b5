/* Positions of control groups, and messages between runner and controller about a box. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cgroup.h"
#include "runner_message.h"

#define V1      "31 23 0:28 / /sys/fs/cgroup/cpu rw,relatime shared:5 - cgroup cgroup rw,cpu\n"
#define V2      "41 31 0:38 / /sys/fs/cgroup rw,relatime shared:9 master:1 - cgroup2 cgroup2 rw\n"
#define V2_PART "41 31 0:38 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"

static void found_where_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *mountinfo, *self, *path;
    } rows[] = {
        {V1 V2, "9:cpu:/x\n0::/\n", "/sys/fs/cgroup"},
        {V2, "0::/user.slice/a.scope\n", "/sys/fs/cgroup/user.slice/a.scope"},
        {V2_PART, "0::/docker/abc\n", "/sys/fs/cgroup"},
        {V2_PART, "0::/docker/abc/x", "/sys/fs/cgroup/x"},
        {V2_PART, "0::/docker/abcd\n", NULL},
        {V2_PART, "0::/other\n", NULL},
        {V2, "0::/../x\n", NULL},
        {V2, "9:cpu:/x\n", NULL},
        {V2, "", NULL},
        {V1, "0::/\n", NULL},
        {"", "0::/\n", NULL},
        {"41 31 0:38\n41\n\n- cgroup2", "0::/\n", NULL},
        {"41 31 0:38 / /a\\040b rw - cgroup2 cgroup2 rw\n", "0::/\n", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[64] = "";
        bool found = cgroup_locate(str_from(rows[i].mountinfo), str_from(rows[i].self), out, sizeof(out));
        assert_int_equal(found, rows[i].path != NULL);
        if (found)
            assert_string_equal(out, rows[i].path);
    }
    char small[15];
    assert_true(cgroup_locate(STR(V2), STR("0::/\n"), small, sizeof(small)));
    assert_false(cgroup_locate(STR(V2), STR("0::/\n"), small, sizeof(small) - 1));
}

static void a_status_comes_back(void **state)
{
    (void)state;
    runner_status_t status = {
        .id = "a-box", .state = RUNNER_FROZEN, .life = UINT64_MAX - 1, .pid = INT32_MAX, .loopback6 = true};
    runner_status_t back;
    char bytes[RUNNER_STATUS_BYTES];
    size_t n = runner_status_write(&status, bytes);
    assert_true(runner_status_read(str_make(bytes, n), &back));
    assert_string_equal(back.id, "a-box");
    assert_int_equal(back.state, RUNNER_FROZEN);
    assert_true(back.life == status.life && back.pid == status.pid && back.loopback6);
    for (size_t cut = 0; cut < n - 1; cut++) /* an id with an invalid end, or without one */
        assert_int_equal(runner_status_read(str_make(bytes, cut), &back), cut > 18 && bytes[cut - 1] != '-');
    bytes[0] = RUNNER_STOPPING + 1;
    assert_false(runner_status_read(str_make(bytes, n), &back));
    bytes[0] = 0;
    bytes[1] = 2;
    assert_false(runner_status_read(str_make(bytes, n), &back));
    bytes[1] = 0;
    bytes[17] = 1; /* of the process id */
    assert_false(runner_status_read(str_make(bytes, n), &back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_where_it_is),
        cmocka_unit_test(a_status_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
