/* Which changes of key files are noticed, when, and how often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certificate_watch.h"

static char dir[64];
static char names[5][96];
static conf_certificate_t certificate;
static conf_upstream_t upstream;
static conf_t conf;

static void put(size_t i, const char *text)
{
    FILE *file = fopen(names[i], "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/boxedge-test-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    for (size_t i = 0; i < 5; i++) {
        snprintf(names[i], sizeof(names[i]), "%s/%zu", dir, i);
        put(i, "text");
    }
    certificate = (conf_certificate_t){.chain_path = names[0], .key_path = names[1]};
    upstream =
        (conf_upstream_t){.tls = true, .tls_ca = names[2], .tls_certificate = names[3], .tls_key = names[4]};
    conf = (conf_t){
        .certificates = &certificate, .certificate_count = 1, .upstreams = &upstream, .upstream_count = 1};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < 5; i++)
        (void)remove(names[i]);
    return rmdir(dir);
}

static void each_file_counts(void **state)
{
    (void)state;
    uint64_t before = certificate_watch_signature(&conf);
    for (size_t i = 0; i < 5; i++) {
        put(i, "longer text");
        uint64_t after = certificate_watch_signature(&conf);
        assert_int_not_equal(after, before);
        assert_int_equal(remove(names[i]), 0);
        assert_int_not_equal(certificate_watch_signature(&conf), after);
        put(i, "text");
        before = certificate_watch_signature(&conf);
    }
    upstream.tls = false;
    assert_int_not_equal(certificate_watch_signature(&conf), before);
    before = certificate_watch_signature(&conf);
    put(2, "longer text");
    assert_int_equal(certificate_watch_signature(&conf), before);
}

static void a_link_counts_for_the_file_it_leads_to(void **state)
{
    (void)state;
    assert_int_equal(remove(names[0]), 0);
    assert_int_equal(symlink(names[1], names[0]), 0);
    uint64_t before = certificate_watch_signature(&conf);
    assert_int_equal(remove(names[0]), 0);
    assert_int_equal(symlink(names[2], names[0]), 0);
    assert_int_not_equal(certificate_watch_signature(&conf), before);
}

static void a_change_is_tried_once_and_after_it_rests(void **state)
{
    (void)state;
    certificate_watch_t watch = {0};
    uint64_t used = certificate_watch_signature(&conf), now = 1000;
    assert_false(certificate_watch_changed(&watch, &conf, used, now));
    assert_false(certificate_watch_changed(&watch, &conf, used, now += CERTIFICATE_WATCH_MS));
    put(0, "longer text");
    /* Not before the next look is due. */
    assert_false(certificate_watch_changed(&watch, &conf, used, now += CERTIFICATE_WATCH_MS - 1));
    assert_false(certificate_watch_changed(&watch, &conf, used, now += 1));
    put(0, "text that is still longer"); /* the writer continues */
    assert_false(certificate_watch_changed(&watch, &conf, used, now += CERTIFICATE_WATCH_MS));
    assert_true(certificate_watch_changed(&watch, &conf, used, now += CERTIFICATE_WATCH_MS));
    /* The caller refused the files, so they are not in use. */
    for (int i = 0; i < 3; i++)
        assert_false(certificate_watch_changed(&watch, &conf, used, now += CERTIFICATE_WATCH_MS));
    put(1, "longer text");
    assert_false(certificate_watch_changed(&watch, &conf, used, now += CERTIFICATE_WATCH_MS));
    assert_true(certificate_watch_changed(&watch, &conf, used, now += CERTIFICATE_WATCH_MS));
    /* The caller accepted them. */
    used = certificate_watch_signature(&conf);
    assert_false(certificate_watch_changed(&watch, &conf, used, now += CERTIFICATE_WATCH_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_file_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_link_counts_for_the_file_it_leads_to, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_change_is_tried_once_and_after_it_rests, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
