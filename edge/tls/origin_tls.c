/*
 * See origin_tls.h. An SSL's app data is the last fatal alert (ALERT_*). An SSL_CTX's app data is
 * its server, or NULL after the origin_tls_t was freed.
 */
#include "origin_tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "system_authorities.h"

#define SESSION_SECONDS 7200
#define AUTHORITIES_MAX 1024
#define CHAIN_DEPTH     10

#define ALERT_SEEN 0x200
#define ALERT_READ 0x100 /* the server sent it */
#define ALERT_CODE 0xff

typedef struct server {
    SSL_CTX *ctx;
    char *name; /* to be verified; without a trailing dot */
    bool is_address;
    bool h2;
    bool reported; /* a failure was reported at reported_ms */
    uint64_t reported_ms;
    size_t session_count;
    SSL_SESSION *sessions[ORIGIN_TLS_SESSIONS]; /* oldest first */
} server_t;

typedef struct upstream {
    server_t *servers; /* NULL: not over TLS */
    size_t server_count;
    char pool[CONF_NAME_MAX + 16];
} upstream_t;

struct origin_tls {
    unsigned refs;
    unsigned version;   /* of the content that `digest` covers */
    uint8_t digest[32]; /* of all parameters */
    upstream_t *upstreams;
    size_t upstream_count;
};

/* ---- sessions ---- */

static void drop_sessions(server_t *server)
{
    while (server->session_count > 0)
        SSL_SESSION_free(server->sessions[--server->session_count]);
}

/* Takes session `i` out; the caller owns it. */
static SSL_SESSION *remove_session(server_t *server, size_t i)
{
    SSL_SESSION *session = server->sessions[i];
    server->session_count--;
    memmove(&server->sessions[i], &server->sessions[i + 1],
            (server->session_count - i) * sizeof(server->sessions[0]));
    return session;
}

/* OpenSSL calls this for each session that a server offers. 1: it keeps the reference. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    server_t *server = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const unsigned char *ticket;
    size_t ticket_len;
    SSL_SESSION_get0_ticket(session, &ticket, &ticket_len);
    if (server == NULL || ticket_len > ORIGIN_TLS_TICKET_MAX || SSL_SESSION_is_resumable(session) != 1 ||
        SSL_get_verify_result(ssl) != X509_V_OK)
        return 0;
    if (server->session_count == ORIGIN_TLS_SESSIONS)
        SSL_SESSION_free(remove_session(server, 0));
    server->sessions[server->session_count++] = session;
    return 1;
}

/* A resumption does not check the certificate again, so a session ends with its certificate. */
static bool is_usable(const SSL_SESSION *session, time_t now)
{
    X509 *certificate = SSL_SESSION_get0_peer((SSL_SESSION *)session);
    return now - (time_t)SSL_SESSION_get_time(session) < SESSION_SECONDS && certificate != NULL &&
           X509_cmp_time(X509_get0_notAfter(certificate), &now) > 0;
}

/* A session of TLS 1.3 is used once (RFC 8446 appendix C.4). */
static void set_session(SSL *ssl, server_t *server)
{
    time_t now = time(NULL); /* the clock of the verification */
    while (server->session_count > 0) {
        size_t youngest = server->session_count - 1;
        SSL_SESSION *session = server->sessions[youngest];
        bool usable = is_usable(session, now);
        if (usable)
            (void)SSL_set_session(ssl, session);
        if (!usable || SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION)
            SSL_SESSION_free(remove_session(server, youngest));
        if (usable)
            return;
    }
}

/* ---- contexts ---- */

static void on_info(const SSL *ssl, int where, int value)
{
    if ((where & SSL_CB_ALERT) == 0 || value >> 8 != SSL3_AL_FATAL)
        return;
    int alert = ALERT_SEEN | ((where & SSL_CB_READ) != 0 ? ALERT_READ : 0) | (value & ALERT_CODE);
    (void)SSL_set_app_data((SSL *)ssl, (void *)(intptr_t)alert);
}

/* Sets the name of the server's certificate. Without it, a verification would accept any server. */
static bool set_name(SSL_CTX *ctx, const server_t *server)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    X509_VERIFY_PARAM_set_depth(param, CHAIN_DEPTH);
    return server->is_address ? X509_VERIFY_PARAM_set1_ip_asc(param, server->name) == 1
                              : X509_VERIFY_PARAM_set1_host(param, server->name, 0) == 1;
}

static SSL_CTX *context_new(const server_t *server)
{
    static const unsigned char protocols[] = "\x02h2\x08http/1.1";
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    assert(ctx != NULL);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    SSL_CTX_set_info_callback(ctx, on_info);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    bool good = SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
                SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") == 1 &&
                SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
                SSL_CTX_set_alpn_protos(ctx, server->h2 ? protocols : protocols + 3, server->h2 ? 3 : 9) == 0;
    assert(good); /* constants */
    if (set_name(ctx, server))
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

/* Adds all authorities of `pem`. Returns false unless their number is within `least` and `most`. */
static bool add_authorities(X509_STORE *store, const char *pem, size_t least, size_t most)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    assert(bio != NULL);
    X509 *authority;
    size_t count = 0;
    bool good = true;
    while (good && (authority = PEM_read_bio_X509_AUX(bio, NULL, NULL, (void *)"")) != NULL) {
        good = ++count <= most && X509_STORE_add_cert(store, authority) == 1;
        X509_free(authority);
    }
    good = good && count >= least && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    BIO_free(bio);
    ERR_clear_error();
    return good;
}

/* Returns NULL with a sentence on error. `system`: these are the system's authorities. */
static X509_STORE *authorities_new(const char *pem, bool system, char *error, size_t error_len)
{
    X509_STORE *store = X509_STORE_new();
    assert(store != NULL);
    if (!system)
        X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN); /* a private authority need not be a root */
    if (add_authorities(store, pem, system ? 0 : 1, system ? SYSTEM_AUTHORITIES_MAX : AUTHORITIES_MAX))
        return store;
    if (system)
        snprintf(error, error_len, "the system's authorities cannot be used");
    else
        snprintf(error, error_len, "tls_ca: it is not a list of 1 to %d certificates in PEM form",
                 AUTHORITIES_MAX);
    X509_STORE_free(store);
    return NULL;
}

static bool server_init(server_t *server, const conf_upstream_t *from, size_t i, char *error,
                        size_t error_len)
{
    struct in6_addr address;
    const char *name = from->tls_name[0] != '\0' ? from->tls_name : from->servers[i].host;
    size_t n = strlen(name);
    server->name = strndup(name, n > 1 && name[n - 1] == '.' ? n - 1 : n);
    assert(server->name != NULL);
    server->is_address =
        inet_pton(AF_INET, server->name, &address) == 1 || inet_pton(AF_INET6, server->name, &address) == 1;
    server->h2 = from->protocol == CONF_PROTOCOL_H2;
    server->ctx = context_new(server);
    if (server->ctx == NULL)
        snprintf(error, error_len, "\"%s\" is not a name that a certificate can have", server->name);
    return server->ctx != NULL;
}

/* Returns a reference to the authorities of an upstream; all upstreams share the system's, `*system`. */
static X509_STORE *authorities_of(const conf_upstream_t *from, const tls_pem_t *pem, X509_STORE **system,
                                  char *error, size_t error_len)
{
    if (from->tls_ca[0] != '\0')
        return authorities_new(pem->authorities, false, error, error_len);
    if (*system == NULL)
        *system = authorities_new(pem->authorities, true, error, error_len);
    else
        X509_STORE_up_ref(*system);
    return *system;
}

static bool upstream_init(upstream_t *upstream, const conf_upstream_t *from, const tls_pem_t *pem,
                          X509_STORE **system, char *error, size_t error_len)
{
    X509_STORE *store = authorities_of(from, pem, system, error, error_len);
    if (store == NULL)
        return false;
    bool good = true;
    upstream->servers = calloc(from->server_count + 1, sizeof(*upstream->servers));
    assert(upstream->servers != NULL);
    for (size_t i = 0; good && i < from->server_count; i++) {
        server_t *server = &upstream->servers[upstream->server_count++];
        good = server_init(server, from, i, error, error_len) &&
               (pem->chain[0] == '\0' || tls_use_pem(server->ctx, pem, error, error_len));
        if (good) {
            SSL_CTX_set1_cert_store(server->ctx, store);
            SSL_CTX_set_app_data(server->ctx, server);
        }
    }
    X509_STORE_free(store);
    return good;
}

/* ---- life ---- */

static void add(EVP_MD_CTX *md, const char *text)
{
    int done = EVP_DigestUpdate(md, text, strlen(text) + 1);
    assert(done == 1);
    (void)done;
}

/* Hashes all parameters of a connection. */
static void digest_of(const conf_t *conf, const tls_pem_t *pems, uint8_t digest[32])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int done = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
    assert(done == 1);
    for (size_t i = 0; i < conf->upstream_count; i++) {
        const conf_upstream_t *from = &conf->upstreams[i];
        add(md, from->name);
        add(md, !from->tls ? "" : from->protocol == CONF_PROTOCOL_H2 ? "h2" : "http/1.1");
        add(md, from->tls_name);
        for (size_t j = 0; j < from->server_count; j++)
            add(md, from->servers[j].host);
        add(md, "");
        add(md, pems[i].authorities);
        add(md, pems[i].chain);
        add(md, pems[i].key);
    }
    done = EVP_DigestFinal_ex(md, digest, NULL);
    assert(done == 1);
    EVP_MD_CTX_free(md);
}

origin_tls_t *origin_tls_new(const conf_t *conf, const tls_pem_t *pems, origin_tls_t *before, char *error,
                             size_t error_len)
{
    uint8_t digest[32];
    char why[384] = "";
    X509_STORE *system = NULL; /* the first upstream that needs it has the reference */
    digest_of(conf, pems, digest);
    if (before != NULL && memcmp(before->digest, digest, sizeof(digest)) == 0)
        return origin_tls_acquire(before);
    origin_tls_t *tls = calloc(1, sizeof(*tls));
    assert(tls != NULL);
    *tls = (origin_tls_t){.refs = 1, .version = before != NULL ? before->version + 1 : 1};
    memcpy(tls->digest, digest, sizeof(digest));
    tls->upstreams = calloc(conf->upstream_count + 1, sizeof(*tls->upstreams));
    assert(tls->upstreams != NULL);
    for (size_t i = 0; i < conf->upstream_count; i++) {
        const conf_upstream_t *from = &conf->upstreams[i];
        upstream_t *upstream = &tls->upstreams[tls->upstream_count++];
        snprintf(upstream->pool, sizeof(upstream->pool), "=%s/%u", from->name, tls->version);
        if (from->tls && !upstream_init(upstream, from, &pems[i], &system, why, sizeof(why))) {
            snprintf(error, error_len, "upstream %s: %s", from->name, why);
            origin_tls_release(&tls);
            return NULL;
        }
    }
    return tls;
}

origin_tls_t *origin_tls_acquire(origin_tls_t *tls)
{
    tls->refs++;
    return tls;
}

static void server_fini(server_t *server)
{
    drop_sessions(server);
    if (server->ctx != NULL)
        SSL_CTX_set_app_data(server->ctx, NULL); /* a server may still offer sessions on open connections */
    SSL_CTX_free(server->ctx);
    free(server->name);
}

void origin_tls_release(origin_tls_t **tls)
{
    origin_tls_t *released = *tls;
    *tls = NULL;
    if (released == NULL)
        return;
    assert(released->refs > 0);
    if (--released->refs > 0)
        return;
    for (size_t i = 0; i < released->upstream_count; i++) {
        for (size_t j = 0; j < released->upstreams[i].server_count; j++)
            server_fini(&released->upstreams[i].servers[j]);
        free(released->upstreams[i].servers);
    }
    free(released->upstreams);
    free(released);
}

str_t origin_tls_pool(const origin_tls_t *tls, size_t upstream)
{
    assert(upstream < tls->upstream_count);
    return str_from(tls->upstreams[upstream].pool);
}

/* ---- connections ---- */

SSL *origin_tls_make(origin_tls_t *tls, size_t upstream, size_t index)
{
    if (upstream >= tls->upstream_count || index >= tls->upstreams[upstream].server_count)
        return NULL;
    server_t *server = &tls->upstreams[upstream].servers[index];
    SSL *ssl = SSL_new(server->ctx);
    if (ssl == NULL)
        return NULL;
    if (!server->is_address && SSL_set_tlsext_host_name(ssl, server->name) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_connect_state(ssl);
    set_session(ssl, server);
    return ssl;
}

bool origin_tls_agreed(const SSL *ssl)
{
    const server_t *server = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const unsigned char *chosen = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(ssl, &chosen, &len);
    str_t protocol = str_make((const char *)chosen, len);
    if (server == NULL)
        return false;
    return server->h2 ? str_eq(protocol, STR("h2")) : len == 0 || str_eq(protocol, STR("http/1.1"));
}

bool origin_tls_refused(const SSL *ssl)
{
    intptr_t alert = (intptr_t)SSL_get_app_data(ssl);
    return (alert & ALERT_SEEN) != 0 && (alert & ALERT_READ) != 0;
}

bool origin_tls_failed(SSL *ssl, uint64_t now_ms, char *out, size_t len)
{
    server_t *server = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    intptr_t alert = (intptr_t)SSL_get_app_data(ssl);
    long verified = SSL_get_verify_result(ssl);
    const char *name = server != NULL ? server->name : "a server that is no longer configured";
    if (server != NULL)
        drop_sessions(server);
    bool again = server != NULL && server->reported && now_ms - server->reported_ms < ORIGIN_TLS_REPORT_MS;
    if (server != NULL && !again) {
        server->reported = true;
        server->reported_ms = now_ms;
    }
    if (verified != X509_V_OK)
        snprintf(out, len, "%s (%s)", X509_verify_cert_error_string(verified), name);
    else if ((alert & ALERT_SEEN) != 0)
        snprintf(out, len, "%s alert \"%s\" (%s)",
                 (alert & ALERT_READ) != 0 ? "the server sent the" : "the edge sent the",
                 SSL_alert_desc_string_long((int)(alert & ALERT_CODE)), name);
    else
        snprintf(out, len, "%s (%s)",
                 SSL_is_init_finished(ssl) == 1 ? "the server does not speak the protocol that was asked for"
                                                : "the connection ended in the middle of the handshake",
                 name);
    return !again;
}
