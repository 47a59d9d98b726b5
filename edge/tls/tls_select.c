/*
 * Chooses the certificate of a handshake and its protocol. The choice happens after the ClientHello
 * and before OpenSSL decides about resumption, so that a session is only ever resumed under its own
 * certificate.
 *
 * Of several certificates for a name, the client gets one whose signature it can verify. Among
 * those, an ECDSA key wins, because it costs a tenth of RSA's.
 */
#include <arpa/inet.h>

#include <openssl/x509v3.h>

#include "tls_internal.h"

#define HOST_MAX 255 /* of a server name */

/* ---- names of a certificate ---- */

static void names_add(tls_names_t *names, const char *text, size_t len)
{
    char *copy = malloc(len + 1);
    tls_name_t *grown = realloc(names->names, (names->count + 1) * sizeof(*grown));
    if (copy == NULL || grown == NULL)
        abort(); /* as mem_alloc does */
    for (size_t i = 0; i < len; i++)
        copy[i] = str_lower(text[i]);
    copy[len] = '\0';
    names->names = grown;
    names->names[names->count++] = (tls_name_t){.text = copy, .len = len};
}

/* A wildcard counts only as the whole leftmost label above at least two labels. */
static void names_add_dns(tls_names_t *names, const char *text, size_t len)
{
    if (len == 0 || len > HOST_MAX || memchr(text, '\0', len) != NULL)
        return;
    const char *star = memchr(text, '*', len);
    if (star == NULL) {
        if (text[0] != '.')
            names_add(names, text, len);
        return;
    }
    if (star != text || len < 4 || text[1] != '.' || memchr(text + 1, '*', len - 1) != NULL ||
        memchr(text + 2, '.', len - 2) == NULL)
        return;
    names_add(names, text + 1, len - 1);
}

static void names_add_address(tls_names_t *names, const unsigned char *bytes, int len)
{
    char text[INET6_ADDRSTRLEN + 2] = "[";
    if (len == 4 && inet_ntop(AF_INET, bytes, text, INET6_ADDRSTRLEN) != NULL) {
        names_add(names, text, strlen(text));
    } else if (len == 16 && inet_ntop(AF_INET6, bytes, text + 1, INET6_ADDRSTRLEN) != NULL) {
        size_t end = strlen(text);
        text[end] = ']';
        names_add(names, text, end + 1);
    }
}

void tls_names_init(tls_names_t *names, X509 *certificate)
{
    *names = (tls_names_t){0};
    GENERAL_NAMES *list = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(list); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(list, i);
        if (name->type == GEN_DNS) {
            names_add_dns(names, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
                          (size_t)ASN1_STRING_length(name->d.dNSName));
        } else if (name->type == GEN_IPADD) {
            names_add_address(names, ASN1_STRING_get0_data(name->d.iPAddress),
                              ASN1_STRING_length(name->d.iPAddress));
        }
    }
    GENERAL_NAMES_free(list);
}

void tls_names_fini(tls_names_t *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->names[i].text);
    free(names->names);
    *names = (tls_names_t){0};
}

static bool names_have(const tls_names_t *names, const char *text, size_t len)
{
    for (size_t i = 0; i < names->count; i++)
        if (names->names[i].len == len && memcmp(names->names[i].text, text, len) == 0)
            return true;
    return false;
}

/* The certificate has exactly this text, as a wildcard or not. */
static bool names_listed(const tls_names_t *names, str_t name)
{
    return names_have(names, name.p, name.n);
}

static bool names_exact(const tls_names_t *names, str_t host)
{
    return host.n > 0 && host.p[0] != '.' && names_have(names, host.p, host.n);
}

static bool names_wildcard(const tls_names_t *names, str_t host)
{
    const char *dot = host.n > 0 ? memchr(host.p, '.', host.n) : NULL;
    if (dot == NULL || dot == host.p)
        return false;
    return names_have(names, dot, host.n - (size_t)(dot - host.p));
}

bool tls_names_cover(const tls_names_t *names, str_t host)
{
    return names_exact(names, host) || names_wildcard(names, host);
}

bool tls_covers(const SSL *ssl, str_t host)
{
    const tls_site_t *site = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    return tls_names_cover(&site->names, host);
}

/* ---- the ClientHello ---- */

/*
 * Reads the only host name of a server_name extension (RFC 6066 section 3) into `host`, lower case,
 * without a trailing dot. Returns false if malformed.
 */
static bool read_server_name(const unsigned char *ext, size_t len, char host[HOST_MAX], size_t *host_len)
{
    if (len < 5 || (size_t)(ext[0] << 8 | ext[1]) != len - 2 || ext[2] != TLSEXT_NAMETYPE_host_name)
        return false;
    size_t n = (size_t)(ext[3] << 8 | ext[4]);
    if (n != len - 5 || n == 0 || n > HOST_MAX || memchr(ext + 5, '\0', n) != NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        host[i] = str_lower((char)ext[5 + i]);
    *host_len = n > 1 && host[n - 1] == '.' ? n - 1 : n;
    return true;
}

/* ---- the key ---- */

void tls_site_set_key(tls_site_t *site, const EVP_PKEY *key)
{
    static const struct {
        const char *group;
        uint16_t scheme;
    } curves[] = {{"prime256v1", 0x0403}, {"secp384r1", 0x0503}, {"secp521r1", 0x0603}};
    char group[32] = "";
    size_t len;
    site->key = TLS_KEY_OTHER;
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        site->key = TLS_KEY_RSA;
        break;
    case EVP_PKEY_EC:
        site->key = TLS_KEY_ECDSA;
        (void)EVP_PKEY_get_group_name(key, group, sizeof(group), &len);
        for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
            if (strcmp(group, curves[i].group) == 0)
                site->scheme = curves[i].scheme;
        break;
    case EVP_PKEY_ED25519:
        site->scheme = 0x0807;
        break;
    default:
        break;
    }
}

/* PKCS #1 with any hash, or PSS with the usual kind of certificate key. */
static bool is_rsa_scheme(unsigned scheme)
{
    return (scheme >> 8 >= 2 && scheme >> 8 <= 6 && (scheme & 0xff) == 1) ||
           (scheme >= 0x0804 && scheme <= 0x0806);
}

static bool checks_signature(SSL *ssl, const tls_site_t *site)
{
    const unsigned char *ext;
    size_t len;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_signature_algorithms, &ext, &len) != 1)
        return site->key == TLS_KEY_RSA; /* an old client (RFC 5246 section 7.4.1.4.1) */
    for (size_t i = 2; i + 1 < len; i += 2) {
        unsigned scheme = (unsigned)(ext[i] << 8 | ext[i + 1]);
        if (site->key == TLS_KEY_RSA ? is_rsa_scheme(scheme) : scheme == site->scheme)
            return true;
    }
    return false;
}

/* A suite of TLS 1.3 works with every key, one of TLS 1.2 with one kind of key. */
static bool has_suite(SSL *ssl, const tls_site_t *site)
{
    static const unsigned rsa[] = {0xc02f, 0xc030, 0xcca8}, ecdsa[] = {0xc02b, 0xc02c, 0xcca9};
    const unsigned *suites = site->key == TLS_KEY_RSA ? rsa : ecdsa;
    const unsigned char *offered;
    size_t len = SSL_client_hello_get0_ciphers(ssl, &offered);
    for (size_t i = 0; i + 1 < len; i += 2) {
        unsigned suite = (unsigned)(offered[i] << 8 | offered[i + 1]);
        if (suite >> 8 == 0x13 || suite == suites[0] || suite == suites[1] || suite == suites[2])
            return true;
    }
    return false;
}

/* ---- the choice ---- */

typedef bool (*names_match_t)(const tls_names_t *names, str_t host);

/* Returns the best site for `host` whose key suits the client, or NULL. `any` receives the first
 * site for that host. */
static const tls_site_t *best_of(SSL *ssl, const tls_t *tls, str_t host, names_match_t match,
                                 const tls_site_t **any)
{
    const tls_site_t *best = NULL;
    for (size_t i = 0; i < tls->site_count; i++) {
        const tls_site_t *site = &tls->sites[i];
        if (!match(&site->names, host))
            continue;
        if (*any == NULL)
            *any = site;
        bool better = best == NULL || (best->key != TLS_KEY_ECDSA && site->key == TLS_KEY_ECDSA);
        if (better && checks_signature(ssl, site) && has_suite(ssl, site))
            best = site;
    }
    return best;
}

/* Chooses among the sites that have the first certificate's first name. */
static const tls_site_t *default_site(SSL *ssl, const tls_t *tls)
{
    const tls_site_t *first = &tls->sites[0], *any = first;
    if (first->names.count == 0)
        return first;
    str_t name = str_make(first->names.names[0].text, first->names.names[0].len);
    const tls_site_t *best = best_of(ssl, tls, name, names_listed, &any);
    return best != NULL ? best : any;
}

static const tls_site_t *site_for(SSL *ssl, const tls_t *tls, str_t host)
{
    const tls_site_t *any = NULL;
    const tls_site_t *best = best_of(ssl, tls, host, names_exact, &any);
    if (best == NULL)
        best = best_of(ssl, tls, host, names_wildcard, &any);
    if (best == NULL)
        best = any;
    return best != NULL ? best : default_site(ssl, tls);
}

int tls_on_client_hello(SSL *ssl, int *alert, void *arg)
{
    const tls_t *tls = arg;
    const unsigned char *ext;
    size_t len, host_len = 0;
    char host[HOST_MAX];
    bool named = SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len) == 1;
    if (named && !read_server_name(ext, len, host, &host_len)) {
        *alert = SSL_AD_DECODE_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    const tls_site_t *site = named ? site_for(ssl, tls, str_make(host, host_len)) : default_site(ssl, tls);
    if (SSL_set_SSL_CTX(ssl, site->ctx) == NULL) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

void tls_offer_http1(tls_t *tls)
{
    for (size_t i = 0; i < tls->site_count; i++)
        SSL_CTX_set_alpn_select_cb(tls->sites[i].ctx, tls_on_alpn, tls);
}

/* With an `arg`, HTTP/1 only. */
int tls_on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                unsigned in_len, void *arg)
{
    (void)ssl;
    static const unsigned char all[] = "\x02h2\x08http/1.1\x08http/1.0";
    const unsigned char *ours = arg != NULL ? all + 3 : all;
    unsigned ours_len = (unsigned)(all + sizeof(all) - 1 - ours);
    /* Without overlap the function sets `out` to the client's first protocol, which must not be
     * used. */
    if (SSL_select_next_proto((unsigned char **)out, out_len, ours, ours_len, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
}

bool tls_is_h2(const SSL *ssl)
{
    const unsigned char *name;
    unsigned len;
    SSL_get0_alpn_selected(ssl, &name, &len);
    return len == 2 && memcmp(name, "h2", 2) == 0;
}
