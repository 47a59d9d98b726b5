/*
 * Which certificate serves a handshake, and which protocol is spoken over it. The certificate is chosen when
 * the ClientHello has come and before OpenSSL decides about resumption, so that a session is only ever
 * resumed under the certificate that it was made with.
 */
#include <arpa/inet.h>

#include <openssl/x509v3.h>

#include "tls_impl.h"

#define HOST_MAX 255 /* of a server name */

/* ---- names of a certificate ---- */

static void names_add(tls_names_t *names, const char *text, size_t len)
{
    char *copy = malloc(len + 1);
    tls_name_t *grown = realloc(names->names, (names->count + 1) * sizeof(*grown));
    if (copy == NULL || grown == NULL)
        abort(); /* as h2o_mem_alloc does */
    for (size_t i = 0; i < len; i++)
        copy[i] = str_lower(text[i]);
    copy[len] = '\0';
    names->names = grown;
    names->names[names->count++] = (tls_name_t){.text = copy, .len = len};
}

/* A wildcard counts where it is the whole leftmost label and stands above two labels or more. */
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

bool tls_covers(const SSL *ssl, str_t host)
{
    const tls_site_t *site = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    return names_exact(&site->names, host) || names_wildcard(&site->names, host);
}

/* ---- the ClientHello ---- */

/*
 * Reads the one host name of a server_name extension (RFC 6066 section 3) into `host`, lower case, without a
 * trailing dot. False where it is malformed.
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

static const tls_site_t *site_for(const tls_t *tls, str_t host)
{
    for (size_t i = 0; i < tls->site_count; i++)
        if (names_exact(&tls->sites[i].names, host))
            return &tls->sites[i];
    for (size_t i = 0; i < tls->site_count; i++)
        if (names_wildcard(&tls->sites[i].names, host))
            return &tls->sites[i];
    return &tls->sites[0];
}

int tls_on_client_hello(SSL *ssl, int *alert, void *arg)
{
    const tls_t *tls = arg;
    const unsigned char *ext;
    size_t len;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len) != 1)
        return SSL_CLIENT_HELLO_SUCCESS; /* no name: the first certificate, which the SSL has */
    char host[HOST_MAX];
    size_t host_len;
    if (!read_server_name(ext, len, host, &host_len)) {
        *alert = SSL_AD_DECODE_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    const tls_site_t *site = site_for(tls, str_make(host, host_len));
    if (SSL_set_SSL_CTX(ssl, site->ctx) == NULL) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

int tls_on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                unsigned in_len, void *arg)
{
    (void)ssl;
    (void)arg;
    static const unsigned char ours[] = "\x02h2\x08http/1.1\x08http/1.0";
    /* Without overlap the function points `out` at the client's first protocol, which is not taken. */
    if (SSL_select_next_proto((unsigned char **)out, out_len, ours, sizeof(ours) - 1, in, in_len) !=
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
