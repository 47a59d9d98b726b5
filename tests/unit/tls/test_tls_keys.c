/* Several certificates for one name: the client gets the one whose signature it can check. */
#include "tls_world.h"

enum { RSA_ONE, ECDSA_ONE, RSA_WILD, ECDSA_WILD, P384_WILD, KEYS };

static tls_pem_t keys_pems[KEYS];
static tls_t *keys_server;

static int make(void **state)
{
    (void)state;
    time_t from = time(NULL) - 3600;
    keys_pems[RSA_ONE] = certificate_issue_with(EVP_RSA_gen(2048), "DNS:one.test", from, 2, NULL, false);
    keys_pems[ECDSA_ONE] = certificate_make("DNS:one.test", from, 2);
    keys_pems[RSA_WILD] = certificate_issue_with(EVP_RSA_gen(2048), "DNS:*.wild.test", from, 2, NULL, false);
    keys_pems[ECDSA_WILD] = certificate_make("DNS:*.wild.test,DNS:a.wild.test", from, 2);
    keys_pems[P384_WILD] =
        certificate_issue_with(EVP_EC_gen("P-384"), "DNS:*.wild.test", from, 2, NULL, false);
    tls_ticket_keys_t keys = ticket_keys_make(1, 2);
    char error[256] = "";
    keys_server = tls_new(keys_pems, KEYS, &keys, error, sizeof(error));
    assert_non_null(keys_server);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    tls_free(&keys_server);
    for (size_t i = 0; i < KEYS; i++)
        tls_pem_fini(&keys_pems[i]);
    assert_int_equal(ERR_peek_error(), 0);
    return 0;
}

/* The certificate for a client with these signature algorithms and suites of TLS 1.2 (NULL: OpenSSL's own);
 * -1: none. */
static int served(int version, const char *name, const char *algorithms, const char *suites)
{
    client_t client = {.version = version, .name = name};
    client_open(&client, keys_server);
    if (algorithms != NULL)
        assert_int_equal(SSL_set1_sigalgs_list(client.ssl, algorithms), 1);
    if (suites != NULL)
        assert_int_equal(SSL_set_cipher_list(client.ssl, suites), 1);
    int index = client_run(&client) ? served_one_of(&client, keys_pems, KEYS) : -1;
    client_close(&client);
    return index;
}

#define RSA_ONLY "RSA-PSS+SHA256:RSA+SHA256"

static void test_by_signature(void **state)
{
    (void)state;
    for (size_t v = 0; v < 2; v++) {
        assert_int_equal(served(versions[v], "one.test", NULL, NULL), ECDSA_ONE);
        assert_int_equal(served(versions[v], "one.test", "ECDSA+SHA256", NULL), ECDSA_ONE);
        assert_int_equal(served(versions[v], "one.test", RSA_ONLY, NULL), RSA_ONE);
        assert_int_equal(served(versions[v], "b.wild.test", NULL, NULL), ECDSA_WILD);
        assert_int_equal(served(versions[v], "b.wild.test", RSA_ONLY, NULL), RSA_WILD);
        assert_int_equal(served(versions[v], "b.wild.test", "ECDSA+SHA384:RSA-PSS+SHA256", NULL), P384_WILD);
        /* Exactly that name first; if its key does not suit, the wildcard's. */
        assert_int_equal(served(versions[v], "a.wild.test", NULL, NULL), ECDSA_WILD);
        assert_int_equal(served(versions[v], "a.wild.test", RSA_ONLY, NULL), RSA_WILD);
        /* Clients that send no name, or an unknown one: those of the first certificate's name. */
        assert_int_equal(served(versions[v], NULL, NULL, NULL), ECDSA_ONE);
        assert_int_equal(served(versions[v], NULL, RSA_ONLY, NULL), RSA_ONE);
        assert_int_equal(served(versions[v], "other.test", RSA_ONLY, NULL), RSA_ONE);
    }
}

static void test_by_suite(void **state)
{
    (void)state;
    assert_int_equal(served(TLS1_2_VERSION, "one.test", NULL, "ECDHE-RSA-AES128-GCM-SHA256"), RSA_ONE);
    assert_int_equal(served(TLS1_2_VERSION, "one.test", NULL, "ECDHE-ECDSA-AES128-GCM-SHA256"), ECDSA_ONE);
    assert_int_equal(served(TLS1_2_VERSION, "b.wild.test", NULL, "ECDHE-RSA-CHACHA20-POLY1305"), RSA_WILD);
}

static void test_what_nothing_suits_is_refused(void **state)
{
    (void)state;
    for (size_t v = 0; v < 2; v++)
        assert_int_equal(served(versions[v], "one.test", "ed25519", NULL), -1);
    assert_int_equal(served(TLS1_2_VERSION, "one.test", "RSA+SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"), -1);
}

/* A session is resumed under its original certificate, whichever the client got. */
static void test_resumption(void **state)
{
    (void)state;
    static const char *const algorithms[] = {NULL, RSA_ONLY};
    for (size_t i = 0; i < 4; i++) {
        client_t first = {.version = versions[i / 2], .name = "one.test"};
        client_open(&first, keys_server);
        if (algorithms[i % 2] != NULL)
            assert_int_equal(SSL_set1_sigalgs_list(first.ssl, algorithms[i % 2]), 1);
        assert_true(client_run(&first));
        client_t second = {.version = versions[i / 2], .name = "one.test", .session = first.fresh};
        client_open(&second, keys_server);
        if (algorithms[i % 2] != NULL)
            assert_int_equal(SSL_set1_sigalgs_list(second.ssl, algorithms[i % 2]), 1);
        assert_true(client_run(&second));
        assert_true(SSL_session_reused(second.ssl));
        client_close(&second);
        client_close(&first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_signature),
        cmocka_unit_test(test_by_suite),
        cmocka_unit_test(test_what_nothing_suits_is_refused),
        cmocka_unit_test(test_resumption),
    };
    return cmocka_run_group_tests(tests, make, unmake);
}
