#include "trust_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "subprocess.h"
#include "whole_file.h"

#define SYSTEM_DIR "/usr/local/share/ca-certificates"

/* ---- the authority ---- */

static bool is_name(const GENERAL_SUBTREE *tree, str_t name)
{
    if (tree->base->type != GEN_DNS)
        return false;
    str_t have = str_make((const char *)ASN1_STRING_get0_data(tree->base->d.dNSName),
                          (size_t)ASN1_STRING_length(tree->base->d.dNSName));
    return str_ieq(have, name);
}

static bool is_expected(const GENERAL_SUBTREE *tree, const char *domain, char *const *extra, size_t count)
{
    if (is_name(tree, str_from(domain)))
        return true;
    for (size_t i = 0; i < count; i++)
        if (is_name(tree, str_from(extra[i])))
            return true;
    return false;
}

/* All IPv4 (8 zero bytes) or all IPv6 (32): address and mask. */
static bool excludes_all(const NAME_CONSTRAINTS *constraints, int len)
{
    static const unsigned char zero[32];
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(constraints->excludedSubtrees); i++) {
        const GENERAL_NAME *base = sk_GENERAL_SUBTREE_value(constraints->excludedSubtrees, i)->base;
        if (base->type == GEN_IPADD && ASN1_STRING_length(base->d.iPAddress) == len &&
            memcmp(ASN1_STRING_get0_data(base->d.iPAddress), zero, (size_t)len) == 0)
            return true;
    }
    return false;
}

/* Fills `domains` with the permitted names. */
static bool is_limited(X509 *cert, const char *domain, char *const *extra, size_t count, char *domains,
                       size_t domains_len)
{
    int critical = 0;
    size_t used = 0;
    NAME_CONSTRAINTS *limits = X509_get_ext_d2i(cert, NID_name_constraints, &critical, NULL);
    int names = limits != NULL ? sk_GENERAL_SUBTREE_num(limits->permittedSubtrees) : 0;
    bool ok = critical == 1 && names > 0 && excludes_all(limits, 8) && excludes_all(limits, 32);
    for (int i = 0; ok && i < names; i++) {
        const GENERAL_SUBTREE *tree = sk_GENERAL_SUBTREE_value(limits->permittedSubtrees, i);
        ok = is_expected(tree, domain, extra, count);
        if (ok && used < domains_len) {
            int n = snprintf(domains + used, domains_len - used, "%s%.*s", i > 0 ? ", " : "",
                             ASN1_STRING_length(tree->base->d.dNSName),
                             (const char *)ASN1_STRING_get0_data(tree->base->d.dNSName));
            used += n > 0 ? (size_t)n : 0;
        }
    }
    NAME_CONSTRAINTS_free(limits);
    return ok;
}

static bool take_names(X509 *cert, trust_authority_t *out)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char common[65] = "";
    if (X509_digest(cert, EVP_sha256(), digest, &len) != 1 || len != 32)
        return false;
    for (unsigned i = 0; i < len; i++)
        (void)snprintf(out->print + 3 * i, 4, "%02X%s", digest[i], i + 1 < len ? ":" : "");
    (void)X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, common, sizeof(common));
    for (char *c = common; *c != '\0'; c++)
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
    (void)snprintf(out->name, sizeof(out->name), "%s (%02x%02x%02x%02x%02x%02x)", common, digest[0],
                   digest[1], digest[2], digest[3], digest[4], digest[5]);
    (void)snprintf(out->system_path, sizeof(out->system_path),
                   SYSTEM_DIR "/boxedge-%02x%02x%02x%02x%02x%02x.crt", digest[0], digest[1], digest[2],
                   digest[3], digest[4], digest[5]);
    return true;
}

static bool take_pem(X509 *cert, trust_authority_t *out)
{
    char *data;
    BIO *bio = BIO_new(BIO_s_mem());
    long len = bio != NULL && PEM_write_bio_X509(bio, cert) == 1 ? BIO_get_mem_data(bio, &data) : 0;
    out->pem = len > 0 ? strndup(data, (size_t)len) : NULL;
    BIO_free(bio);
    return out->pem != NULL;
}

bool trust_authority_read(const char *path, const char *domain, char *const *extra, size_t extra_count,
                          trust_authority_t *out, char *error, size_t error_len)
{
    *out = (trust_authority_t){.pem = NULL};
    char no_password[] = "";
    BIO *bio = BIO_new_file(path, "r");
    X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, no_password) : NULL;
    int n = snprintf(out->path, sizeof(out->path), "%s", path);
    bool ok = false;
    if (cert == NULL || n < 0 || (size_t)n >= sizeof(out->path))
        (void)snprintf(error, error_len,
                       "%s is not there, or holds no certificate: the edge makes it at its start", path);
    else if (!is_limited(cert, domain, extra, extra_count, out->domains, sizeof(out->domains)))
        (void)snprintf(
            error, error_len,
            "%s is not limited to %s by critical name constraints: it could vouch for other sites, and "
            "is not installed",
            path, domain);
    else if (X509_check_ca(cert) != 1 || X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0)
        (void)snprintf(error, error_len, "%s is no authority that is valid now", path);
    else if (!take_names(cert, out) || !take_pem(cert, out))
        (void)snprintf(error, error_len, "%s cannot be read", path);
    else
        ok = true;
    X509_free(cert);
    BIO_free(bio);
    ERR_clear_error();
    return ok;
}

void trust_authority_fini(trust_authority_t *authority)
{
    free(authority->pem);
    *authority = (trust_authority_t){.pem = NULL};
}

/* ---- the system ---- */

static bool has_text(const char *path, const char *text)
{
    size_t len;
    char *have = whole_file_read(path, &len);
    bool same = have != NULL && strcmp(have, text) == 0;
    free(have);
    return same;
}

static bool write_text(const char *path, const char *text)
{
    char fresh[TRUST_PATH_MAX + 8];
    (void)snprintf(fresh, sizeof(fresh), "%s.new", path);
    (void)unlink(fresh);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    size_t len = strlen(text);
    bool done = fd >= 0 && write(fd, text, len) == (ssize_t)len && fchmod(fd, 0644) == 0;
    if (fd >= 0 && close(fd) != 0)
        done = false;
    done = done && rename(fresh, path) == 0;
    if (!done)
        (void)unlink(fresh);
    return done;
}

/* Names the first line of a program's output. */
static void explain(const char *program, const subprocess_end_t *end, char *why, size_t why_len)
{
    if (end->status == 127)
        (void)snprintf(why, why_len, "%s is not installed", program);
    else
        (void)snprintf(why, why_len, "%s ended with status %d: %.*s", program, end->status,
                       (int)strcspn(end->output, "\n"), end->output);
}

static trust_result_t update_system(char *why, size_t why_len)
{
    /* --fresh: links to a certificate that is gone stay otherwise. */
    static const char *const argv[] = {"update-ca-certificates", "--fresh", NULL};
    subprocess_end_t end;
    subprocess_run(argv, &end);
    if (end.status == 0)
        return TRUST_DONE;
    explain(argv[0], &end, why, why_len);
    return TRUST_FAILED;
}

trust_result_t trust_system(const trust_authority_t *authority, bool trust, char *why, size_t why_len)
{
    const char *path = authority->system_path;
    bool is_there = has_text(path, authority->pem);
    if (is_there == trust)
        return TRUST_UNCHANGED;
    if (access(SYSTEM_DIR, F_OK) != 0) {
        (void)snprintf(why, why_len,
                       SYSTEM_DIR " is not there: import the authority as your system describes");
        return TRUST_HAND;
    }
    if (access(SYSTEM_DIR, W_OK) != 0) {
        if (trust)
            (void)snprintf(why, why_len, "sudo install -m 644 '%s' %s && sudo update-ca-certificates",
                           authority->path, path);
        else
            (void)snprintf(why, why_len, "sudo rm %s && sudo update-ca-certificates --fresh", path);
        return TRUST_HAND;
    }
    if (trust ? !write_text(path, authority->pem) : unlink(path) != 0) {
        (void)snprintf(why, why_len, "%s cannot be changed: %s", path, strerror(errno));
        return TRUST_FAILED;
    }
    return update_system(why, why_len);
}

/* ---- databases of NSS ---- */

/* Calls certutil for the database; `words` ends with NULL. */
static int certutil(const char *database, const char *const *words, subprocess_end_t *end)
{
    const char *argv[16] = {"certutil", "-d", database};
    for (size_t i = 3; *words != NULL && i < 15; i++)
        argv[i] = *words++;
    subprocess_run(argv, end);
    return end->status;
}

static trust_result_t failed(const subprocess_end_t *end, char *why, size_t why_len)
{
    explain("certutil", end, why, why_len);
    return TRUST_FAILED;
}

/* Makes an empty database, with all missing directories. */
static bool make_database(const char *dir, const char *database, subprocess_end_t *end)
{
    char part[TRUST_PATH_MAX];
    for (const char *slash = strchr(dir + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        (void)snprintf(part, sizeof(part), "%.*s", (int)(slash - dir), dir);
        (void)mkdir(part, 0700);
    }
    (void)mkdir(dir, 0700);
    return certutil(database, (const char *const[]){"-N", "--empty-password", NULL}, end) == 0;
}

trust_result_t trust_nss(const trust_authority_t *authority, const char *dir, bool trust, char *why,
                         size_t why_len)
{
    char file[TRUST_PATH_MAX], database[TRUST_PATH_MAX];
    subprocess_end_t end;
    int n = snprintf(file, sizeof(file), "%s/cert9.db", dir);
    if (n < 0 || (size_t)n >= sizeof(file)) {
        (void)snprintf(why, why_len, "its path is too long");
        return TRUST_FAILED;
    }
    (void)snprintf(database, sizeof(database), "sql:%s", dir);
    bool exists = access(file, F_OK) == 0;
    if (!exists && !trust)
        return TRUST_UNCHANGED;
    if (!subprocess_exists("certutil")) {
        (void)snprintf(why, why_len, "needs certutil: sudo apt install libnss3-tools");
        return TRUST_HAND;
    }
    if (!exists && !make_database(dir, database, &end))
        return failed(&end, why, why_len);
    bool is_there = certutil(database, (const char *const[]){"-L", "-n", authority->name, NULL}, &end) == 0;
    if (is_there == trust)
        return TRUST_UNCHANGED;
    const char *const add[] = {"-A", "-n", authority->name, "-t", "C,,", "-i", authority->path, NULL};
    const char *const drop[] = {"-D", "-n", authority->name, NULL};
    return certutil(database, trust ? add : drop, &end) == 0 ? TRUST_DONE : failed(&end, why, why_len);
}
