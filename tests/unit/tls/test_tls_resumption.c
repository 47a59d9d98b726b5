/* TLS sessions: who may resume which, with which keys, and the contents of a ticket. */
#include "tls_world.h"

/* A session with the given server, owned by the caller. */
static SSL_SESSION *session_of(tls_t *tls, int version, const char *name)
{
    client_t client = {.version = version, .name = name};
    assert_true(client_handshake(&client, tls));
    assert_false(SSL_session_reused(client.ssl));
    SSL_SESSION *session = client.fresh;
    assert_non_null(session);
    client.fresh = NULL;
    client_close(&client);
    return session;
}

static bool has_other_ticket(const SSL_SESSION *now, const SSL_SESSION *before)
{
    const unsigned char *a, *b;
    size_t a_len, b_len;
    SSL_SESSION_get0_ticket(now, &a, &a_len);
    SSL_SESSION_get0_ticket(before, &b, &b_len);
    return a_len != b_len || memcmp(a, b, a_len) != 0;
}

/* Whether a handshake with `session` resumes; *renewed, if given, tells whether another ticket came. */
static bool resumes(tls_t *tls, int version, const char *name, SSL_SESSION *session, bool *renewed,
                    int *index)
{
    SSL_SESSION *copy = SSL_SESSION_dup(session);
    client_t client = {.version = version, .name = name, .session = copy};
    assert_true(client_handshake(&client, tls));
    bool reused = SSL_session_reused(client.ssl) == 1;
    assert_int_equal(SSL_session_reused(client.server_ssl), reused);
    if (renewed != NULL)
        *renewed =
            has_other_ticket(client.fresh != NULL ? client.fresh : SSL_get_session(client.ssl), session);
    if (index != NULL)
        *index = served_by(&client);
    client_close(&client);
    SSL_SESSION_free(copy);
    return reused;
}

static void test_resumes_on_another_worker(void **state)
{
    (void)state;
    tls_ticket_keys_t keys = ticket_keys_make(1, 2);
    tls_t *other = tls_world_server_new(0, CERTIFICATES, &keys);
    for (size_t v = 0; v < 2; v++) {
        SSL_SESSION *session = session_of(server, versions[v], "b.wild.test");
        assert_true(resumes(server, versions[v], "b.wild.test", session, NULL, NULL));
        assert_true(resumes(other, versions[v], "b.wild.test", session, NULL, NULL));
        SSL_SESSION_free(session);
    }
    tls_free(&other);
}

/* Every certificate's session against every certificate: only its own resumes, else the handshake is full
 * with the requested certificate. */
static void test_no_resumption_across_certificates(void **state)
{
    (void)state;
    static const char *names[CERTIFICATES] = {"first.test", "exact.test", "b.wild.test", "both.test"};
    for (size_t v = 0; v < 2; v++)
        for (int i = 0; i < CERTIFICATES; i++) {
            SSL_SESSION *session = session_of(server, versions[v], names[i]);
            for (int j = 0; j < CERTIFICATES; j++) {
                int index = -1;
                SSL_SESSION *copy = SSL_SESSION_dup(session);
                SSL_SESSION_set1_hostname(copy, NULL); /* else OpenSSL's client compares the name itself */
                bool reused = resumes(server, versions[v], names[j], copy, NULL, &index);
                assert_int_equal(reused, i == j);
                assert_int_equal(index, j);
                SSL_SESSION_free(copy);
            }
            SSL_SESSION_free(session);
        }
}

/* The same keys, and the first certificate is another one: a reload replaced it. */
static void test_no_resumption_after_the_certificate_changed(void **state)
{
    (void)state;
    tls_ticket_keys_t keys = ticket_keys_make(1, 2);
    tls_t *other = tls_world_server_new(EXACT, 1, &keys);
    for (size_t v = 0; v < 2; v++) {
        SSL_SESSION *session = session_of(server, versions[v], NULL);
        assert_true(resumes(server, versions[v], NULL, session, NULL, NULL));
        assert_false(resumes(other, versions[v], NULL, session, NULL, NULL));
        SSL_SESSION_free(session);
    }
    tls_free(&other);
}

static void test_ticket_keys_rotate(void **state)
{
    (void)state;
    for (size_t v = 0; v < 2; v++) {
        bool renewed = false;
        tls_ticket_keys_t keys = ticket_keys_make(10, 1);
        tls_set_ticket_keys(server, &keys);
        SSL_SESSION *session = session_of(server, versions[v], "first.test");
        assert_true(resumes(server, versions[v], "first.test", session, &renewed, NULL));
        assert_int_equal(renewed, versions[v] == TLS1_3_VERSION); /* over TLS 1.3 each handshake brings one */
        /* A new key in front: the old one still opens tickets, and the client gets another ticket. */
        keys = (tls_ticket_keys_t){.count = 2};
        memset(keys.secret[0], 77, 64);
        memset(keys.secret[1], 10, 64);
        tls_set_ticket_keys(server, &keys);
        assert_true(resumes(server, versions[v], "first.test", session, &renewed, NULL));
        assert_true(renewed);
        /* Gone. */
        keys.count = 1;
        tls_set_ticket_keys(server, &keys);
        assert_false(resumes(server, versions[v], "first.test", session, NULL, NULL));
        SSL_SESSION_free(session);
    }
}

/* The whole secret counts: its name part alone does not open a ticket. */
static void test_other_keys_under_the_same_name(void **state)
{
    (void)state;
    tls_ticket_keys_t keys = ticket_keys_make(10, 1);
    for (size_t at = 16; at < 64; at += 16) {
        tls_ticket_keys_t forged = keys;
        forged.secret[0][at] ^= 1;
        tls_set_ticket_keys(server, &keys);
        SSL_SESSION *session = session_of(server, TLS1_2_VERSION, "first.test");
        tls_set_ticket_keys(server, &forged);
        assert_false(resumes(server, TLS1_2_VERSION, "first.test", session, NULL, NULL));
        SSL_SESSION_free(session);
    }
}

static void test_one_ticket_and_no_early_data(void **state)
{
    (void)state;
    SSL_SESSION *session = session_of(server, TLS1_3_VERSION, "first.test");
    assert_int_equal(SSL_SESSION_get_max_early_data(session), 0);
    assert_true(SSL_SESSION_has_ticket(session));
    assert_int_equal(SSL_SESSION_get_ticket_lifetime_hint(session), 7200);
    SSL_SESSION_free(session);
    client_t client = {0};
    client_open(&client, server);
    assert_int_equal(SSL_get_num_tickets(client.server_ssl), 1);
    client_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_resumes_on_another_worker),
        TEST(test_no_resumption_across_certificates),
        TEST(test_no_resumption_after_the_certificate_changed),
        TEST(test_ticket_keys_rotate),
        TEST(test_other_keys_under_the_same_name),
        TEST(test_one_ticket_and_no_early_data),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
