/* A configuration means the same in the process that receives it as in the sender. */
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "memfile.h"
#include "process.h"

static const char text[] =
    "preview_domain: p.example\nlisteners: [{address: \"127.0.0.1:8443\", kind: tls}]\n"
    "node: n\nstate_dir: s\nrun_dir: r\n";

static void means_the_same_elsewhere(void **state)
{
    (void)state;
    char error[256];
    assert_int_equal(chdir("/usr"), 0);
    int fd = process_conf_write("e.yaml", str_from(text));
    assert_true(fd >= 0);
    assert_int_equal(chdir("/"), 0);
    conf_t *conf = process_conf_read(fd, error, sizeof(error));
    assert_non_null(conf);
    assert_string_equal(conf->source, "e.yaml");
    assert_string_equal(conf->state_dir, "/usr/s");
    assert_string_equal(conf->run_dir, "/usr/r");
    conf_release(&conf);
    close(fd);
}

static void expect_refused(const str_t *parts, size_t count)
{
    char error[256] = "";
    int fd = memfile_write("test", parts, count);
    assert_true(fd >= 0);
    assert_null(process_conf_read(fd, error, sizeof(error)));
    assert_int_not_equal(error[0], '\0');
    close(fd);
}

static void refuses_what_is_no_configuration(void **state)
{
    (void)state;
    static const char zeros[65536];
    expect_refused(NULL, 0);
    expect_refused(&STR("short"), 1);
    expect_refused(&(str_t){zeros, sizeof(zeros)}, 1);
    int fd = process_conf_write("e.yaml", STR("workers: x\n"));
    char error[256] = "";
    assert_null(process_conf_read(fd, error, sizeof(error)));
    assert_string_equal(error, "the supervisor sent a configuration that does not parse");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_the_same_elsewhere),
        cmocka_unit_test(refuses_what_is_no_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
