#include "tls_world.h"

tls_pem_t pems[CERTIFICATES];

tls_t *server;

const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

int group_setup(void **state)
{
    (void)state;
    time_t from = time(NULL) - 3600;
    pems[FIRST] = certificate_make("DNS:first.test", from, 2);
    pems[EXACT] = certificate_make("DNS:a.wild.test,DNS:Exact.TEST", from, 2);
    pems[WILDCARD] = certificate_make("DNS:*.wild.test", from, 2);
    pems[BOTH] = certificate_make("DNS:*.both.test,DNS:both.test,IP:192.0.2.7,IP:2001:db8::7", from, 2);
    return 0;
}

int group_teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < CERTIFICATES; i++)
        tls_pem_fini(&pems[i]);
    return 0;
}

tls_t *tls_world_server_new(size_t first, size_t count, const tls_ticket_keys_t *keys)
{
    char error[256] = "";
    tls_t *tls = tls_new(pems + first, count, keys, error, sizeof(error));
    if (tls == NULL)
        print_message("%s\n", error);
    assert_non_null(tls);
    return tls;
}

int tls_world_setup(void **state)
{
    (void)state;
    tls_ticket_keys_t keys = ticket_keys_make(1, 2);
    server = tls_world_server_new(0, CERTIFICATES, &keys);
    return 0;
}

int tls_world_teardown(void **state)
{
    (void)state;
    tls_free(&server);
    assert_int_equal(ERR_peek_error(), 0);
    return 0;
}

/* ---- a client ---- */

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    client_t *client = SSL_get_app_data(ssl);
    SSL_SESSION_free(client->fresh);
    client->fresh = session;
    return 1;
}

void client_open(client_t *client, tls_t *tls)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    int version = client->version != 0 ? client->version : TLS1_3_VERSION;
    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    client->ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    SSL_set_app_data(client->ssl, client);
    SSL_set_connect_state(client->ssl);
    if (client->name != NULL)
        SSL_set_tlsext_host_name(client->ssl, client->name);
    if (client->alpn != NULL)
        SSL_set_alpn_protos(client->ssl, client->alpn, client->alpn_len);
    if (client->session != NULL)
        SSL_set_session(client->ssl, client->session);
    client->server_ssl = tls_accept(tls);
    assert_non_null(client->server_ssl);
    BIO *near, *far;
    BIO_new_bio_pair(&near, 65536, &far, 65536);
    SSL_set_bio(client->ssl, near, near);
    SSL_set_bio(client->server_ssl, far, far);
}

bool client_run(client_t *client)
{
    int done = 0, served = 0;
    for (int i = 0; i < 10 && (done != 1 || served != 1); i++) {
        done = SSL_do_handshake(client->ssl);
        if (done != 1 && SSL_get_error(client->ssl, done) == SSL_ERROR_SSL)
            break;
        ERR_clear_error();
        served = SSL_do_handshake(client->server_ssl);
        ERR_clear_error(); /* a refusal shows at the client, as the alert */
    }
    client->reason = done == 1 ? 0 : ERR_GET_REASON(ERR_peek_error());
    ERR_clear_error();
    char byte;
    if (done == 1) {
        SSL_read(client->ssl, &byte, 1); /* takes the ticket of TLS 1.3 */
        ERR_clear_error();
    }
    return done == 1 && served == 1;
}

bool client_handshake(client_t *client, tls_t *tls)
{
    client_open(client, tls);
    return client_run(client);
}

void client_close(client_t *client)
{
    SSL_set_shutdown(client->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(client->ssl);
    SSL_free(client->server_ssl);
    SSL_SESSION_free(client->fresh);
    client->ssl = client->server_ssl = NULL;
    client->fresh = NULL;
}

int served_one_of(const client_t *client, const tls_pem_t *made, int count)
{
    X509 *got = SSL_get0_peer_certificate(client->ssl);
    for (int i = 0; i < count; i++) {
        BIO *bio = BIO_new_mem_buf(made[i].chain, -1);
        X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        BIO_free(bio);
        bool same = X509_cmp(got, cert) == 0;
        X509_free(cert);
        if (same)
            return i;
    }
    return -1;
}

int served_by(const client_t *client)
{
    return served_one_of(client, pems, CERTIFICATES);
}
