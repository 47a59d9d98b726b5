/*
 * See system_authorities.h.
 */
#include "system_authorities.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "str.h"

/* Hexadecimal digits of a subject's hash, the first part of a name in a directory. */
#define HASH_DIGITS 8

static const char *from_environment(const char *name, const char *otherwise)
{
    const char *value = secure_getenv(name);
    return value != NULL ? value : otherwise;
}

static void add_file(X509_STORE *store, const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
        (void)X509_STORE_load_file(store, path);
}

/* "<hash>.<number>", as openssl-rehash(1) names them. Revocation lists have an 'r' before the number. */
static bool is_authority(const char *name)
{
    size_t digits = strspn(name, "0123456789abcdef");
    const char *number = name + HASH_DIGITS + 1;
    return digits == HASH_DIGITS && name[HASH_DIGITS] == '.' && number[0] != '\0' &&
           number[strspn(number, "0123456789")] == '\0';
}

static void add_directory(X509_STORE *store, const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return;
    const struct dirent *entry;
    for (int left = SYSTEM_AUTHORITIES_MAX; left > 0 && (entry = readdir(dir)) != NULL;) {
        char file[PATH_MAX];
        if (!is_authority(entry->d_name))
            continue;
        left--;
        if ((size_t)snprintf(file, sizeof(file), "%s/%s", path, entry->d_name) < sizeof(file))
            add_file(store, file);
    }
    closedir(dir);
}

/* `paths` has a colon between directories. */
static void add_directories(X509_STORE *store, const char *paths)
{
    while (*paths != '\0') {
        char path[PATH_MAX];
        size_t n = strcspn(paths, ":");
        if (n != 0 && n < sizeof(path)) {
            memcpy(path, paths, n);
            path[n] = '\0';
            add_directory(store, path);
        }
        paths += n + (paths[n] == ':');
    }
}

/* A copy of the bytes with a NUL after them. */
static char *text_of(BIO *bio)
{
    char *bytes = NULL;
    long n = BIO_get_mem_data(bio, &bytes);
    return n > 0 ? strndup(bytes, (size_t)n) : strdup("");
}

static char *write_all(X509_STORE *store)
{
    char *text = NULL;
    STACK_OF(X509) *all = X509_STORE_get1_all_certs(store);
    BIO *bio = BIO_new(BIO_s_mem());
    bool good = all != NULL && bio != NULL;
    for (int i = 0; good && i < sk_X509_num(all) && i < SYSTEM_AUTHORITIES_MAX; i++)
        good = PEM_write_bio_X509_AUX(bio, sk_X509_value(all, i)) == 1;
    if (good)
        text = text_of(bio);
    BIO_free(bio);
    sk_X509_pop_free(all, X509_free);
    return text;
}

char *system_authorities_read(void)
{
    X509_STORE *store = X509_STORE_new();
    if (store == NULL)
        return NULL;
    add_file(store, from_environment(X509_get_default_cert_file_env(), X509_get_default_cert_file()));
    add_directories(store, from_environment(X509_get_default_cert_dir_env(), X509_get_default_cert_dir()));
    char *text = write_all(store);
    X509_STORE_free(store);
    ERR_clear_error();
    return text;
}
