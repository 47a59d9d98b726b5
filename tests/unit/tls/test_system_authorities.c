/* The system's authorities as one text: from OpenSSL's file and its directories. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certificates.h"
#include "system_authorities.h"

static char dir[] = "/tmp/boxedge-authorities-XXXXXX";
static tls_pem_t first, second;

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void look_in(const char *file, const char *directories)
{
    assert_int_equal(setenv(X509_get_default_cert_file_env(), file, 1), 0);
    assert_int_equal(setenv(X509_get_default_cert_dir_env(), directories, 1), 0);
}

/* Whether the text has this certificate. Its labels may mark it as a trusted one. */
static bool has(const char *text, const char *pem)
{
    const char *base64 = strchr(pem, '\n') + 1;
    char *copy = strndup(base64, (size_t)(strstr(base64, "-----END") - base64));
    assert_non_null(copy);
    bool found = strstr(text, copy) != NULL;
    free(copy);
    return found;
}

/* Reads the authorities, and expects these (NULL: none) and no others. */
static void expect(const char *a, const char *b)
{
    char *text = system_authorities_read();
    size_t count = 0;
    assert_non_null(text);
    for (const char *at = text; (at = strstr(at, "-----BEGIN")) != NULL; at++)
        count++;
    assert_int_equal(count, (a != NULL) + (b != NULL));
    assert_true(a == NULL || has(text, a));
    assert_true(b == NULL || has(text, b));
    free(text);
}

static void they_come_from_a_file_and_from_directories_once_each(void **state)
{
    (void)state;
    char both[512];
    write_file("bundle.pem", first.chain);
    assert_int_equal(mkdir(path_of("d"), 0700), 0);
    write_file("d/0123abcd.0", first.chain);
    write_file("d/0123abcd.1", second.chain);
    look_in(path_of("bundle.pem"), "");
    expect(first.chain, NULL);
    look_in("/nowhere", path_of("d"));
    expect(first.chain, second.chain);
    snprintf(both, sizeof(both), ":/nowhere:%s:", path_of("d"));
    look_in(path_of("bundle.pem"), both);
    expect(first.chain, second.chain);
}

static void other_files_are_passed_over(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path_of("o"), 0700), 0);
    static const char *const names[] = {"o/0123abc.0",  "o/0123abcde.0", "o/0123abcd.", "o/0123abcd.r0",
                                        "o/0123ABCD.0", "o/ca.pem",      "o/0123abcd"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        write_file(names[i], first.chain);
    write_file("o/0123abcd.2", "no certificate\n");
    assert_int_equal(mkfifo(path_of("o/0123abcd.3"), 0600),
                     0); /* opening it would block until a writer opens it */
    assert_int_equal(symlink("nowhere", path_of("o/0123abcd.4")), 0);
    look_in("/dev/null", path_of("o"));
    expect(NULL, NULL);
    write_file("o/0123abcd.5", second.chain);
    expect(second.chain, NULL);
}

static int make(void **state)
{
    (void)state;
    first = certificate_issue("DNS:first.test", time(NULL), 2, NULL, true);
    second = certificate_issue("DNS:second.test", time(NULL), 2, NULL, true);
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static int clean(void **state)
{
    (void)state;
    tls_pem_fini(&first);
    tls_pem_fini(&second);
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_come_from_a_file_and_from_directories_once_each),
        cmocka_unit_test(other_files_are_passed_over),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
