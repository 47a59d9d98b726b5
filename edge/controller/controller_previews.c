/*
 * Previews that the configuration declares. A missing one is made with new secrets, which first go to a file
 * that only the edge's user may read. One that exists is never changed, whatever it is, and one that the
 * configuration no longer declares stays: an edit of the file takes no credentials away.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "controller.h"
#include "preview_make.h"
#include "process.h"
#include "process_log.h"

#define PATH_BYTES   4096
#define SECRET_BYTES (sizeof(PREVIEW_USERNAME) + 1 + SECRET_TEXT_LEN + 1)

/* Returns false with errno. */
static bool write_new(const char *path, const char *text, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool done = fd >= 0 && write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return done;
}

/* Puts the secret into `path` as a whole. Returns false with errno, and then leaves no new file. */
static bool write_secret(const char *path, const store_preview_t *preview, const preview_secrets_t *secrets)
{
    char fresh[PATH_BYTES + 8], text[SECRET_BYTES];
    int len = preview->bearer ? snprintf(text, sizeof(text), "%s\n", secrets->token)
                              : snprintf(text, sizeof(text), PREVIEW_USERNAME ":%s\n", secrets->password);
    (void)snprintf(fresh, sizeof(fresh), "%s.new", path);
    (void)unlink(fresh);
    bool done = write_new(fresh, text, (size_t)len) && rename(fresh, path) == 0;
    int error = errno;
    if (!done)
        (void)unlink(fresh);
    OPENSSL_cleanse(text, sizeof(text));
    errno = error;
    return done;
}

static void refused(const store_preview_t *preview, const char *why)
{
    process_log(LOG_PREVIEW_NOT_MADE, "controller", "the declared preview %s-%u is not made: %s", preview->id,
                preview->port, why);
}

/* Stores the preview, whose secrets are written. */
static store_result_t put(store_t *store, store_preview_t *preview, const char *path)
{
    store_result_t result = store_put_preview(store, preview);
    if (result == STORE_OK)
        process_log(LOG_PREVIEW_CHANGED, "controller", "preview %s-%u created for the configuration%s%s",
                    preview->id, preview->port, path[0] != '\0' ? "; its secret is in " : "", path);
    else
        refused(preview, store_error(store));
    return result;
}

static store_result_t make(store_t *store, const char *dir, store_preview_t *preview)
{
    preview_secrets_t secrets;
    char path[PATH_BYTES] = "", why[PREVIEW_WHY_MAX];
    int status;
    if (preview_alias_refusal(store, preview, &status, why) != NULL) {
        refused(preview, why);
        return STORE_CONFLICT;
    }
    preview_secrets_make(&secrets, preview);
    if (preview->bearer || preview->basic) {
        int n = snprintf(path, sizeof(path), "%s/%s-%u", dir, preview->id, preview->port);
        errno = ENAMETOOLONG;
        if (n < 0 || (size_t)n >= sizeof(path) || !write_secret(path, preview, &secrets)) {
            preview_secrets_fini(&secrets);
            (void)snprintf(why, sizeof(why), "%.200s cannot be written: %s", path, strerror(errno));
            refused(preview, why);
            return STORE_FAILED;
        }
    }
    preview_secrets_fini(&secrets);
    store_result_t result = put(store, preview, path);
    if (result != STORE_OK && path[0] != '\0')
        (void)unlink(path);
    return result;
}

/* An existing preview stays as it is. */
static void compare(const store_preview_t *declared, const store_preview_t *preview)
{
    static const char *const access[] = {"public", "bearer", "basic", "bearer and basic"};
    if (declared->bearer == preview->bearer && declared->basic == preview->basic)
        return;
    process_log(LOG_PREVIEW_DIFFERS, "controller",
                "preview %s-%u is %s, and the configuration declares %s: it stays as it is; delete it, and "
                "reload, to get the declared one",
                preview->id, preview->port, access[preview->bearer + 2 * preview->basic],
                access[declared->bearer + 2 * declared->basic]);
}

void controller_make_previews(store_t *store, const conf_t *conf, uint64_t now_unix, bool *changed)
{
    char dir[PATH_BYTES];
    *changed = false;
    if (!process_previews_dir(conf, dir, sizeof(dir)))
        return; /* the supervisor refused the start */
    for (size_t i = 0; i < conf->process_count; i++) {
        const conf_process_t *process = &conf->processes[i];
        for (size_t j = 0; j < process->preview_count; j++) {
            conf_access_t access = process->previews[j].access;
            store_preview_t old, preview = {.port = process->previews[j].port,
                                            .created_at = now_unix,
                                            .bearer = access == CONF_ACCESS_BEARER,
                                            .basic = access == CONF_ACCESS_BASIC};
            memcpy(preview.id, process->id, sizeof(preview.id));
            store_result_t result = store_get_preview(store, str_from(preview.id), preview.port, &old);
            if (result == STORE_OK && (old.expires_at == 0 || old.expires_at > now_unix))
                compare(&preview, &old);
            else if (result == STORE_OK || result == STORE_NOT_FOUND)
                *changed |= make(store, dir, &preview) == STORE_OK;
            else
                refused(&preview, store_error(store));
        }
    }
}
