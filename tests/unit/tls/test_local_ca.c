/* The local authority: its files, when it makes them again, and its restriction to its domain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "local_ca.h"
#include "local_ca_x509.h"

#define NOW    UINT64_C(1800000000)
#define DAY    UINT64_C(86400)
#define DOMAIN "preview.box.localhost"

static char dir[64];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/test_local_ca.XXXXXX");
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static tls_pem_t ensure(const char *domain, uint64_t now)
{
    tls_pem_t pem;
    char error[512] = "";
    bool done = local_ca_ensure(dir, domain, NULL, 0, now, &pem, error, sizeof(error));
    if (!done)
        print_message("%s\n", error);
    assert_true(done);
    assert_int_equal(ERR_peek_error(), 0);
    return pem;
}

static X509 *first_certificate(const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(cert);
    return cert;
}

static void path_of(const char *name, char path[128])
{
    snprintf(path, 128, "%s/ca/%s", dir, name);
}

static X509 *file_certificate(const char *name)
{
    char path[128];
    path_of(name, path);
    BIO *bio = BIO_new_file(path, "r");
    assert_non_null(bio);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(cert);
    return cert;
}

static EVP_PKEY *file_key(const char *name)
{
    char path[128];
    path_of(name, path);
    BIO *bio = BIO_new_file(path, "r");
    assert_non_null(bio);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(key);
    return key;
}

/* A client's checks: the chain, the purpose, the name. Returns OpenSSL's verdict (X509_V_OK is 0). */
static int verify(X509 *leaf, X509 *authority, const char *host, uint64_t now)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509_STORE_add_cert(store, authority);
    X509_STORE_CTX_init(ctx, store, leaf, NULL);
    X509_STORE_CTX_set_time(ctx, 0, (time_t)now);
    X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
    X509_VERIFY_PARAM_set1_host(param, host, 0);
    int verdict = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    ERR_clear_error();
    return verdict;
}

static void test_the_leaf_verifies_for_the_domain(void **state)
{
    (void)state;
    tls_pem_t pem = ensure(DOMAIN, NOW);
    X509 *leaf = first_certificate(pem.chain);
    X509 *authority = file_certificate("ca.pem");
    assert_int_equal(verify(leaf, authority, "sweet-shark-3000." DOMAIN, NOW), X509_V_OK);
    assert_int_equal(verify(leaf, authority, DOMAIN, NOW), X509_V_OK);
    assert_int_equal(verify(leaf, authority, "a.b." DOMAIN, NOW), X509_V_ERR_HOSTNAME_MISMATCH);
    assert_int_equal(verify(leaf, authority, "example.com", NOW), X509_V_ERR_HOSTNAME_MISMATCH);
    assert_int_equal(verify(leaf, authority, DOMAIN, NOW + 397 * DAY), X509_V_ERR_CERT_HAS_EXPIRED);
    char error[256];
    assert_true(tls_check(&pem, 1, NOW, error, sizeof(error)));
    X509_free(leaf);
    X509_free(authority);
    tls_pem_fini(&pem);
}

static void test_validity_and_constraints(void **state)
{
    (void)state;
    tls_pem_t pem = ensure(DOMAIN, NOW);
    X509 *leaf = first_certificate(pem.chain);
    X509 *authority = file_certificate("ca.pem");
    int days, seconds;
    ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(leaf), X509_get0_notAfter(leaf));
    assert_in_range(days, 300, 397);
    ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(authority), X509_get0_notAfter(authority));
    assert_in_range(days, 3649, 3651);
    int critical = 0;
    NAME_CONSTRAINTS *constraints = X509_get_ext_d2i(authority, NID_name_constraints, &critical, NULL);
    assert_non_null(constraints);
    assert_int_equal(critical, 1);
    assert_int_equal(sk_GENERAL_SUBTREE_num(constraints->permittedSubtrees), 1);
    NAME_CONSTRAINTS_free(constraints);
    assert_int_equal(X509_get_pathlen(authority), 0);
    assert_true((X509_get_extension_flags(authority) & EXFLAG_CA) != 0);
    assert_true((X509_get_extension_flags(leaf) & EXFLAG_CA) == 0);
    char group[16] = "";
    assert_int_equal(EVP_PKEY_get_group_name(X509_get0_pubkey(authority), group, sizeof(group), NULL), 1);
    assert_string_equal(group, "prime256v1");
    X509_free(leaf);
    X509_free(authority);
    tls_pem_fini(&pem);
}

/* A thief of the authority's key cannot make certificates for other names. */
static void test_the_authority_is_good_for_its_domain_only(void **state)
{
    (void)state;
    tls_pem_t pem = ensure(DOMAIN, NOW);
    X509 *authority = file_certificate("ca.pem");
    EVP_PKEY *authority_key = file_key("ca.key");
    EVP_PKEY *key = local_key_new();
    const char *others[] = {"example.com", "box.localhost", "notpreview.box.localhost"};
    for (size_t i = 0; i < 3; i++) {
        local_names_t names = {.domain = others[i]};
        X509 *leaf = local_leaf_new(key, authority, authority_key, &names, NOW);
        assert_non_null(leaf);
        assert_int_equal(verify(leaf, authority, others[i], NOW), X509_V_ERR_PERMITTED_VIOLATION);
        assert_false(local_leaf_fits(leaf, authority, &names, NOW, 30));
        ERR_clear_error();
        X509_free(leaf);
    }
    /* Nor for addresses. */
    local_names_t inside = {.domain = DOMAIN};
    X509 *leaf = local_leaf_new(key, authority, authority_key, &inside, NOW);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
    X509_EXTENSION *old = X509_delete_ext(leaf, X509_get_ext_by_NID(leaf, NID_subject_alt_name, -1));
    X509_EXTENSION_free(old);
    X509_add_ext(leaf, ext, -1);
    X509_EXTENSION_free(ext);
    assert_true(X509_sign(leaf, authority_key, EVP_sha256()) > 0);
    assert_int_equal(verify(leaf, authority, NULL, NOW), X509_V_ERR_EXCLUDED_VIOLATION);
    X509_free(leaf);
    EVP_PKEY_free(key);
    EVP_PKEY_free(authority_key);
    X509_free(authority);
    tls_pem_fini(&pem);
}

static void expect_mode(const char *name, mode_t mode)
{
    char path[128];
    path_of(name, path);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
}

static void test_modes(void **state)
{
    (void)state;
    mode_t old = umask(0);
    tls_pem_t pem = ensure(DOMAIN, NOW);
    umask(old);
    expect_mode("ca.key", 0600);
    expect_mode("leaf.key", 0600);
    expect_mode("ca.pem", 0644);
    expect_mode("leaf.pem", 0644);
    tls_pem_fini(&pem);
}

static void test_used_again(void **state)
{
    (void)state;
    tls_pem_t first = ensure(DOMAIN, NOW);
    tls_pem_t second = ensure(DOMAIN, NOW + 365 * DAY); /* 31 days are left */
    assert_string_equal(first.chain, second.chain);
    assert_string_equal(first.key, second.key);
    tls_pem_fini(&first);
    tls_pem_fini(&second);
}

/* Less than 30 days left: another leaf of the same authority, which clients trust already. */
static void test_renewed_in_time(void **state)
{
    (void)state;
    tls_pem_t first = ensure(DOMAIN, NOW);
    X509 *authority = file_certificate("ca.pem");
    uint64_t later = NOW + 367 * DAY;
    tls_pem_t second = ensure(DOMAIN, later);
    assert_string_not_equal(first.chain, second.chain);
    X509 *same = file_certificate("ca.pem");
    assert_int_equal(X509_cmp(authority, same), 0);
    X509 *leaf = first_certificate(second.chain);
    assert_int_equal(verify(leaf, authority, DOMAIN, later + 300 * DAY), X509_V_OK);
    X509_free(leaf);
    X509_free(same);
    X509_free(authority);
    tls_pem_fini(&first);
    tls_pem_fini(&second);
}

static void test_the_authority_is_renewed_at_its_end(void **state)
{
    (void)state;
    tls_pem_t first = ensure(DOMAIN, NOW);
    X509 *old = file_certificate("ca.pem");
    tls_pem_t second = ensure(DOMAIN, NOW + 3630 * DAY);
    X509 *new = file_certificate("ca.pem");
    assert_int_not_equal(X509_cmp(old, new), 0);
    X509_free(old);
    X509_free(new);
    tls_pem_fini(&first);
    tls_pem_fini(&second);
}

static void test_another_domain(void **state)
{
    (void)state;
    tls_pem_t first = ensure(DOMAIN, NOW);
    tls_pem_t second = ensure("preview.example.net", NOW);
    X509 *authority = file_certificate("ca.pem");
    X509 *leaf = first_certificate(second.chain);
    assert_int_equal(verify(leaf, authority, "a-1.preview.example.net", NOW), X509_V_OK);
    X509_free(leaf);
    X509_free(authority);
    tls_pem_fini(&first);
    tls_pem_fini(&second);
}

static void test_extra_names(void **state)
{
    (void)state;
    tls_pem_t pem;
    char error[512];
    str_t extra[] = {STR("api.box.localhost"), STR("other.test")};
    assert_true(local_ca_ensure(dir, DOMAIN, extra, 2, NOW, &pem, error, sizeof(error)));
    X509 *authority = file_certificate("ca.pem");
    X509 *leaf = first_certificate(pem.chain);
    assert_int_equal(verify(leaf, authority, "api.box.localhost", NOW), X509_V_OK);
    assert_int_equal(verify(leaf, authority, "other.test", NOW), X509_V_OK);
    assert_int_equal(verify(leaf, authority, "a-1." DOMAIN, NOW), X509_V_OK);
    X509_free(leaf);
    X509_free(authority);
    /* Without them again, the leaf is made anew, narrower. */
    tls_pem_t narrow = ensure(DOMAIN, NOW);
    assert_string_not_equal(pem.chain, narrow.chain);
    tls_pem_fini(&pem);
    tls_pem_fini(&narrow);
}

/* The maximum number of names, each of maximum length. */
static void test_the_most_names(void **state)
{
    (void)state;
    static char names[LOCAL_CA_EXTRA_MAX][254];
    str_t extra[LOCAL_CA_EXTRA_MAX];
    for (size_t i = 0; i < LOCAL_CA_EXTRA_MAX; i++) {
        for (size_t at = 0; at < 253; at++)
            names[i][at] = at % 64 == 63 ? '.' : 'a';
        snprintf(names[i], 4, "h%02zu", i);
        names[i][3] = 'a';
        extra[i] = str_from(names[i]);
        assert_int_equal(extra[i].n, 253);
    }
    tls_pem_t pem;
    char error[512] = "";
    if (!local_ca_ensure(dir, DOMAIN, extra, LOCAL_CA_EXTRA_MAX, NOW, &pem, error, sizeof(error)))
        fail_msg("%s", error);
    X509 *authority = file_certificate("ca.pem");
    X509 *leaf = first_certificate(pem.chain);
    assert_int_equal(verify(leaf, authority, names[0], NOW), X509_V_OK);
    assert_int_equal(verify(leaf, authority, names[LOCAL_CA_EXTRA_MAX - 1], NOW), X509_V_OK);
    X509_free(leaf);
    X509_free(authority);
    tls_pem_fini(&pem);
}

/* A file that was damaged or lost is made anew and never served. */
static void test_damaged_files(void **state)
{
    (void)state;
    const char *names[] = {"ca.pem", "ca.key", "leaf.pem", "leaf.key"};
    for (size_t i = 0; i < 4; i++) {
        tls_pem_t before = ensure(DOMAIN, NOW);
        char path[128];
        path_of(names[i], path);
        FILE *file = fopen(path, "w");
        fputs("-----BEGIN CERTIFICATE-----\nrubbish\n", file);
        fclose(file);
        tls_pem_t after = ensure(DOMAIN, NOW);
        X509 *authority = file_certificate("ca.pem");
        X509 *leaf = first_certificate(after.chain);
        assert_int_equal(verify(leaf, authority, DOMAIN, NOW), X509_V_OK);
        X509_free(leaf);
        X509_free(authority);
        tls_pem_fini(&before);
        tls_pem_fini(&after);
        assert_int_equal(unlink(path), 0);
    }
}

static void test_a_directory_that_does_not_exist(void **state)
{
    (void)state;
    char error[512] = "";
    tls_pem_t pem;
    char path[128];
    snprintf(path, sizeof(path), "%s/no/such", dir);
    assert_false(local_ca_ensure(path, DOMAIN, NULL, 0, NOW, &pem, error, sizeof(error)));
    assert_non_null(strstr(error, "/no/such/ca cannot be made: No such file"));
    assert_null(pem.chain);
}

static void test_advice_names_the_file(void **state)
{
    (void)state;
    char text[512];
    local_ca_advice("/var/lib/boxedge", text, sizeof(text));
    assert_non_null(strstr(text, "curl --cacert /var/lib/boxedge/ca/ca.pem"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_the_leaf_verifies_for_the_domain),
        TEST(test_validity_and_constraints),
        TEST(test_the_authority_is_good_for_its_domain_only),
        TEST(test_modes),
        TEST(test_used_again),
        TEST(test_renewed_in_time),
        TEST(test_the_authority_is_renewed_at_its_end),
        TEST(test_another_domain),
        TEST(test_extra_names),
        TEST(test_the_most_names),
        TEST(test_damaged_files),
        TEST(test_a_directory_that_does_not_exist),
        TEST(test_advice_names_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
