/* See local_ca.h: the files, and when they are replaced. local_ca_x509.c makes the certificates. */
#include "local_ca.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "local_ca_x509.h"

#define RENEW_DAYS 30

/* A certificate and its key. */
typedef struct pair {
    X509 *cert;
    EVP_PKEY *key;
} pair_t;

typedef struct job {
    char dir[PATH_MAX];
    local_names_t names;
    uint64_t now;
    bool look; /* makes no file */
    char *error;
    size_t error_len;
} job_t;

__attribute__((format(printf, 2, 3))) static bool fail(const job_t *job, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(job->error, job->error_len, format, args);
    va_end(args);
    ERR_clear_error();
    return false;
}

static void pair_fini(pair_t *pair)
{
    X509_free(pair->cert);
    EVP_PKEY_free(pair->key);
    *pair = (pair_t){0};
}

/* ---- files ---- */

static bool path_of(const job_t *job, const char *name, char path[PATH_MAX])
{
    int n = snprintf(path, PATH_MAX, "%s/%s", job->dir, name);
    return n > 0 && n < PATH_MAX;
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* Returns whether write_file would succeed, judging by modes and kinds; otherwise errno has the
 * reason. */
static bool can_write(const job_t *job, const char *path)
{
    struct stat st;
    if (stat(job->dir, &st) != 0)
        return errno == ENOENT; /* it will be made */
    if (!S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return false;
    }
    if (access(job->dir, W_OK | X_OK) != 0)
        return false;
    errno = EISDIR;
    return lstat(path, &st) != 0 || !S_ISDIR(st.st_mode);
}

/* Writes a temporary file, syncs it, then renames it. */
static bool write_file(const job_t *job, const char *name, mode_t mode, BIO *content)
{
    char path[PATH_MAX], tmp[PATH_MAX];
    char tmp_name[64];
    snprintf(tmp_name, sizeof(tmp_name), ".%s.%ld", name, (long)getpid());
    if (!path_of(job, name, path) || !path_of(job, tmp_name, tmp))
        return fail(job, "%s: the path is too long", job->dir);
    if (job->look)
        return can_write(job, path) || fail(job, "%s cannot be written: %s", path, strerror(errno));
    char *data;
    long len = BIO_get_mem_data(content, &data);
    (void)unlink(tmp);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    bool done = fd >= 0 && fchmod(fd, mode) == 0 && write_all(fd, data, (size_t)len) && fsync(fd) == 0;
    int reason = errno;
    if (fd >= 0)
        close(fd);
    if (done && rename(tmp, path) == 0)
        return true;
    if (done)
        reason = errno;
    (void)unlink(tmp);
    return fail(job, "%s cannot be written: %s", path, strerror(reason));
}

/* Returns NULL if the file is absent or unreadable. */
static BIO *read_file(const job_t *job, const char *name)
{
    char path[PATH_MAX];
    if (!path_of(job, name, path))
        return NULL;
    return BIO_new_file(path, "r");
}

static bool pair_load(const job_t *job, const char *cert_name, const char *key_name, pair_t *pair)
{
    *pair = (pair_t){0};
    BIO *cert = read_file(job, cert_name);
    BIO *key = read_file(job, key_name);
    if (cert != NULL && key != NULL) {
        char no_password[] = "";
        pair->cert = PEM_read_bio_X509(cert, NULL, NULL, no_password);
        pair->key = PEM_read_bio_PrivateKey(key, NULL, NULL, no_password);
    }
    BIO_free(cert);
    BIO_free(key);
    bool good = pair->cert != NULL && pair->key != NULL && X509_check_private_key(pair->cert, pair->key) == 1;
    if (!good)
        pair_fini(pair);
    ERR_clear_error();
    return good;
}

/* A crash between the two renames leaves a pair that does not match; the next start replaces it. */
static bool pair_store(const job_t *job, const char *cert_name, const char *key_name, const pair_t *pair)
{
    BIO *key = BIO_new(BIO_s_secmem());
    BIO *cert = BIO_new(BIO_s_mem());
    bool done = key != NULL && cert != NULL &&
                PEM_write_bio_PrivateKey(key, pair->key, NULL, NULL, 0, NULL, NULL) == 1 &&
                PEM_write_bio_X509(cert, pair->cert) == 1;
    done = done ? write_file(job, key_name, 0600, key) && write_file(job, cert_name, 0644, cert)
                : fail(job, "the local CA's files cannot be encoded");
    BIO_free(key);
    BIO_free(cert);
    return done;
}

/* ---- creation ---- */

static bool make_authority(const job_t *job, pair_t *authority)
{
    authority->key = local_key_new();
    if (authority->key != NULL)
        authority->cert = local_authority_new(authority->key, &job->names, job->now);
    if (authority->cert == NULL)
        return fail(job, "a local CA for %s cannot be made", job->names.domain);
    return pair_store(job, "ca.pem", "ca.key", authority);
}

/* Issues a leaf of this authority that fits, or an empty pair. */
static void issue(const job_t *job, const pair_t *authority, pair_t *leaf)
{
    leaf->key = local_key_new();
    if (leaf->key != NULL)
        leaf->cert = local_leaf_new(leaf->key, authority->cert, authority->key, &job->names, job->now);
    if (leaf->cert == NULL ||
        !local_leaf_fits(leaf->cert, authority->cert, &job->names, job->now, RENEW_DAYS))
        pair_fini(leaf);
    ERR_clear_error();
}

/* An authority for other names cannot issue a leaf that fits. This detects a change of the domain. */
static bool make_leaf(const job_t *job, bool authority_loaded, pair_t *authority, pair_t *leaf)
{
    if (authority_loaded)
        issue(job, authority, leaf);
    if (leaf->cert == NULL) {
        pair_fini(authority);
        if (!make_authority(job, authority))
            return false;
        issue(job, authority, leaf);
    }
    if (leaf->cert == NULL)
        return fail(job, "a certificate for %s cannot be made: a certificate cannot hold this host name",
                    job->names.domain);
    return pair_store(job, "leaf.pem", "leaf.key", leaf);
}

static char *to_text(BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    return len > 0 ? strndup(data, (size_t)len) : NULL;
}

static bool give_out(const job_t *job, const pair_t *leaf, tls_pem_t *out)
{
    BIO *key = BIO_new(BIO_s_secmem());
    BIO *chain = BIO_new(BIO_s_mem());
    if (key != NULL && chain != NULL && PEM_write_bio_X509(chain, leaf->cert) == 1 &&
        PEM_write_bio_PrivateKey(key, leaf->key, NULL, NULL, 0, NULL, NULL) == 1)
        *out = (tls_pem_t){.chain = to_text(chain), .key = to_text(key)};
    BIO_free(key);
    BIO_free(chain);
    return out->chain != NULL && out->key != NULL ? true : fail(job, "no memory for the certificate");
}

static bool ensure(job_t *job, const char *state_dir, tls_pem_t *out)
{
    *out = (tls_pem_t){0};
    int n = snprintf(job->dir, sizeof(job->dir), "%s/ca", state_dir);
    if (n < 0 || (size_t)n >= sizeof(job->dir))
        return fail(job, "%s: the path is too long", state_dir);
    if (!job->look && mkdir(job->dir, 0755) != 0 && errno != EEXIST)
        return fail(job, "%s cannot be made: %s", job->dir, strerror(errno));
    pair_t authority, leaf;
    bool have_authority = pair_load(job, "ca.pem", "ca.key", &authority);
    bool done = pair_load(job, "leaf.pem", "leaf.key", &leaf) && have_authority &&
                local_leaf_fits(leaf.cert, authority.cert, &job->names, job->now, RENEW_DAYS);
    if (!done) {
        pair_fini(&leaf);
        done = make_leaf(job, have_authority, &authority, &leaf);
    }
    done = done && give_out(job, &leaf, out);
    pair_fini(&authority);
    pair_fini(&leaf);
    if (!done)
        tls_pem_fini(out);
    return done;
}

bool local_ca_ensure(const char *state_dir, const char *preview_domain, const str_t *extra,
                     size_t extra_count, uint64_t now_unix, tls_pem_t *out, char *error, size_t error_len)
{
    job_t job = {.names = {preview_domain, extra, extra_count},
                 .now = now_unix,
                 .error = error,
                 .error_len = error_len};
    return ensure(&job, state_dir, out);
}

bool local_ca_look(const char *state_dir, const char *preview_domain, const str_t *extra, size_t extra_count,
                   uint64_t now_unix, char *error, size_t error_len)
{
    tls_pem_t unused;
    job_t job = {.names = {preview_domain, extra, extra_count},
                 .now = now_unix,
                 .look = true,
                 .error = error,
                 .error_len = error_len};
    bool good = ensure(&job, state_dir, &unused);
    tls_pem_fini(&unused);
    return good;
}

void local_ca_advice(const char *state_dir, char *text, size_t text_len)
{
    snprintf(
        text, text_len,
        "No certificate is configured: previews use one of this machine's own authority, %s/ca/ca.pem. "
        "Programs trust it with `curl --cacert %s/ca/ca.pem`; browsers once it is imported as an authority "
        "(it is valid for the preview domain and the API's hosts only).",
        state_dir, state_dir);
}
