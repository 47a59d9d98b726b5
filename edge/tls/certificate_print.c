/*
 * See certificate_print.h.
 */
#include "certificate_print.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* More than a chain has. */
#define CERTIFICATES_MAX 64

static void print_name(const char *what, const X509_NAME *name, BIO *out)
{
    BIO_printf(out, "  %s: ", what);
    X509_NAME_print_ex(out, name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
    BIO_puts(out, "\n");
}

static void print_time(const char *what, const ASN1_TIME *time, BIO *out)
{
    BIO_printf(out, "  %s: ", what);
    ASN1_TIME_print(out, time);
    BIO_puts(out, "\n");
}

static void print_alternatives(const X509 *certificate, BIO *out)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    BIO_puts(out, "  names:");
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        BIO_puts(out, i > 0 ? ", " : " ");
        GENERAL_NAME_print(out, sk_GENERAL_NAME_value(names, i));
    }
    BIO_puts(out, "\n");
    GENERAL_NAMES_free(names);
}

int certificate_print(const char *path, FILE *file)
{
    FILE *in = fopen(path, "re");
    if (in == NULL)
        return -1;
    BIO *out = BIO_new_fp(file, BIO_NOCLOSE);
    int count = 0;
    for (; out != NULL && count < CERTIFICATES_MAX; count++) {
        X509 *certificate = PEM_read_X509(in, NULL, NULL, NULL);
        if (certificate == NULL)
            break;
        print_name("subject", X509_get_subject_name(certificate), out);
        print_name("issuer", X509_get_issuer_name(certificate), out);
        print_alternatives(certificate, out);
        print_time("from", X509_get0_notBefore(certificate), out);
        print_time("until", X509_get0_notAfter(certificate), out);
        BIO_printf(out, "  key: %s, %d bits\n\n", OBJ_nid2sn(EVP_PKEY_get_id(X509_get0_pubkey(certificate))),
                   EVP_PKEY_get_bits(X509_get0_pubkey(certificate)));
        X509_free(certificate);
    }
    BIO_free(out);
    fclose(in);
    ERR_clear_error();
    return count;
}
