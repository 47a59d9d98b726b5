#include "store_check.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmdb.h>

#include "bucket.h"
#include "bytes.h"
#include "env_pages.h"
#include "env_size.h"
#include "order.h"
#include "record.h"
#include "store_internal.h"
#include "store_made.h"

#define PATH_BYTES 4096
/* Attempts to see a file that its writer is about to extend. */
#define EXTENDS 1000
/* Commits that are tried in turn beside a writer. */
#define RENEWALS  100
#define ERROR_MAX (PATH_BYTES + 640)

typedef struct check {
    const store_check_calls_t *calls;
    store_check_sum_t *sum;
    const char *dir;
    store_part_t content;
    unsigned format;
    unsigned minor;
    bool has_hash_key;
    siphash_key_t hash_key;
    uint64_t sequence;
    uint64_t last_version; /* highest version of a preview */
    uint64_t listed;       /* names in "order", and the sum of their hashes */
    uint64_t listed_sum;
    uint64_t recorded; /* the same of "records" */
    uint64_t recorded_sum;
    uint64_t names; /* of API keys: records by name, and by hash */
    uint64_t hashes;
    unsigned percent;
} check_t;

static void found(check_t *check, store_check_kind_t kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void found(check_t *check, store_check_kind_t kind, const char *format, ...)
{
    char fault[512], sentence[ERROR_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(fault, sizeof(fault), format, args);
    va_end(args);
    if (kind == STORE_CHECK_TREE && check->content == STORE_PART_BOXES)
        kind = STORE_CHECK_BOXES;
    if (kind == STORE_CHECK_TREE || kind == STORE_CHECK_BOXES)
        check->sum->damaged |= STORE_PART(check->content);
    if (check->sum->findings++ >= STORE_CHECK_REPORTS_MAX && kind == STORE_CHECK_RECORD)
        return;
    snprintf(sentence, sizeof(sentence), "%.*s: %s", PATH_BYTES - 1, check->dir, fault);
    check->calls->finding(kind, sentence, check->calls->arg);
}

/* ---- records ---- */

/* The name as people write it: "box", "box-3000". API keys' hashes are not shown whole. */
static const char *name_text(str_t id, uint16_t port, char out[96])
{
    int shown = id.n > 64 ? 64 : (int)id.n;
    if (id.n != 0 && id.p[0] == STORE_HASH_MARK)
        shown = shown > 9 ? 9 : shown;
    if (port != 0)
        snprintf(out, 96, "%.*s-%u", shown, id.p, port);
    else
        snprintf(out, 96, "%.*s", shown, id.p);
    for (char *p = out; *p != '\0'; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
    return out;
}

/* Returns whether this edge can read the record. */
static bool is_readable(check_t *check, const bucket_entry_t *entry)
{
    union {
        store_preview_t preview;
        store_block_t block;
        store_cookie_keys_t cookie_keys;
        store_key_t key;
        store_deletion_t deletion;
        uint8_t sha256[32];
        char id[BOX_ID_MAX + 1];
        store_link_t link;
    } out;
    static const uint8_t any[32];
    str_t id = entry->id;
    if (id.n > BOX_ID_MAX && check->content != STORE_PART_KEYS && check->content != STORE_PART_LINKS)
        return false;
    switch (check->content) {
    case STORE_PART_PREVIEWS:
        if (!record_decode_preview(entry->record, id, entry->port, &out.preview))
            return false;
        if (out.preview.version > check->last_version)
            check->last_version = out.preview.version;
        return true;
    case STORE_PART_RULES:
        return str_eq(id, STORE_KEYS_NAME) ? record_decode_keys(entry->record, &out.cookie_keys)
                                           : record_decode_block(entry->record, id, &out.block);
    case STORE_PART_KEYS:
        if (id.p[0] == STORE_HASH_MARK) {
            check->hashes++;
            return record_decode_key(entry->record, any, &out.key);
        }
        check->names++;
        return record_decode_name(entry->record, out.sha256);
    case STORE_PART_DELETIONS:
        return record_decode_deletion(entry->record, id, &out.deletion);
    case STORE_PART_ALIASES:
        return record_decode_alias(entry->record, out.id);
    case STORE_PART_LINKS:
        return record_decode_any_link(entry->record, id, entry->port, &out.link);
    case STORE_PARTS:      /* none */
    case STORE_PART_BOXES: /* written anew by the first report */
        return true;
    }
    return false;
}

/* Checks one bucket of "records". */
static void check_bucket(check_t *check, str_t key, str_t bucket)
{
    char text[96] = "a name that cannot be read";
    size_t hash;
    memcpy(&hash, key.p, sizeof(hash));
    bucket_seal_t seal = bucket_seal_state(&check->hash_key, bucket);
    str_t rest = bucket;
    bucket_entry_t entry;
    bucket_result_t result;
    bool readable = true;
    while ((result = bucket_next(&rest, &entry)) == BUCKET_OK) {
        if (bucket_is_seal(&entry))
            continue;
        (void)name_text(entry.id, entry.port, text);
        if (entry.id.n > ORDER_ID_MAX || order_hash(&check->hash_key, entry.id, entry.port) != hash) {
            if (seal != BUCKET_SEAL_WRONG)
                found(check, STORE_CHECK_TREE, "the record of %s is under the hash of another name", text);
            else
                readable = false;
            continue;
        }
        check->recorded++;
        check->recorded_sum += hash;
        check->sum->records++;
        readable = is_readable(check, &entry) && readable;
    }
    if (seal == BUCKET_SEAL_WRONG || result == BUCKET_BROKEN)
        found(check, STORE_CHECK_RECORD, "the record of %s is damaged", text);
    else if (!readable)
        found(check, STORE_CHECK_RECORD, "the record of %s cannot be read by this edge", text);
}

static void check_meta(check_t *check, str_t key, str_t value)
{
    if (str_eq(key, STR("layout")) && value.n == 1)
        check->format = (uint8_t)value.p[0];
    else if (str_eq(key, STR("minor")) && value.n == 1)
        check->minor = (uint8_t)value.p[0];
    else if (str_eq(key, STR("sequence")) && value.n == 8)
        check->sequence = bytes_get64(value.p);
    else if (str_eq(key, STR("hash_key")) && value.n == sizeof(check->hash_key)) {
        memcpy(&check->hash_key, value.p, sizeof(check->hash_key));
        check->has_hash_key = true;
    }
}

static bool on_entry(str_t db, str_t key, str_t value, void *arg)
{
    check_t *check = arg;
    str_t id;
    uint16_t port;
    if (str_eq(db, STR("meta"))) {
        check_meta(check, key, value);
        return true;
    }
    if (!check->has_hash_key) /* "meta" comes first */
        return false;
    if (str_eq(db, STR("records")))
        check_bucket(check, key, value);
    if (!str_eq(db, STR("order")))
        return true;
    if (!order_name(key, &id, &port)) {
        found(check, STORE_CHECK_TREE, "a name in the list is none");
        return true;
    }
    check->listed++;
    check->listed_sum += order_hash(&check->hash_key, id, port);
    return true;
}

static bool on_progress(uint64_t done, uint64_t all, void *arg)
{
    check_t *check = arg;
    unsigned percent = (unsigned)(all != 0 && done < all ? done * 100 / all : 100);
    if (percent != check->percent && check->calls->progress != NULL)
        check->calls->progress(check->dir, percent, check->calls->arg);
    check->percent = percent;
    return true;
}

/* ---- environments ---- */

/* The commit that is checked. */
typedef struct pinned {
    MDB_env *env;
    MDB_txn *txn;
    int fd;
    env_meta_t meta;
} pinned_t;

/* Reads the meta page of the commit. Two commits of a writer replace it before it can be read; the next
 * commit is then checked. */
static bool read_pinned(pinned_t *pinned, bool in_order, bool in_use, char error[ERROR_MAX])
{
    for (int i = 0;; i++) {
        if (env_meta_read(pinned->fd, in_order, mdb_txn_id(pinned->txn), &pinned->meta, error, ERROR_MAX))
            return true;
        mdb_txn_reset(pinned->txn);
        if (!in_use || i == RENEWALS || mdb_txn_renew(pinned->txn) != 0)
            return false;
    }
}

/* Without a lock file no process has the environment open, and none is made: it would belong to the
 * user of this command. */
static bool pin(const char *dir, bool in_order, bool in_use, pinned_t *out, char error[ERROR_MAX])
{
    char path[PATH_BYTES];
    *out = (pinned_t){.fd = -1};
    if (!env_size_begun(dir, error, ERROR_MAX) ||
        !env_meta_check(dir, in_order, &out->meta, error, ERROR_MAX))
        return false;
    snprintf(path, sizeof(path), "%.*s/lock.mdb", PATH_BYTES - 16, dir);
    unsigned lock = in_use && access(path, F_OK) == 0 ? 0 : MDB_NOLOCK;
    int rc = mdb_env_create(&out->env);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(out->env, ENV_NAMED_MAX);
    if (rc == 0)
        rc = mdb_env_open(out->env, dir, MDB_RDONLY | MDB_NOTLS | lock, 0600);
    if (rc == 0)
        rc = mdb_txn_begin(out->env, NULL, MDB_RDONLY, &out->txn);
    if (rc == 0)
        rc = mdb_env_get_fd(out->env, &out->fd);
    if (rc == MDB_INVALID)
        snprintf(error, ERROR_MAX, "data.mdb is no store");
    else if (rc != 0)
        snprintf(error, ERROR_MAX, "cannot be opened: %s", mdb_strerror(rc));
    return rc == 0 && read_pinned(out, in_order, in_use, error);
}

/* The writer extends the file to its last page just after each commit, and a power cut can undo that:
 * then the walk over the pages decides. */
static bool is_whole(const pinned_t *pinned, char error[ERROR_MAX])
{
    const uint64_t needs = (pinned->meta.last_page + 1) * pinned->meta.page_bytes;
    struct stat file = {.st_size = 0};
    for (int i = 0; i < EXTENDS; i++) {
        if (fstat(pinned->fd, &file) != 0 || (uint64_t)file.st_size >= needs)
            return true;
        sched_yield();
    }
    snprintf(error, ERROR_MAX, "data.mdb is cut short: it has %llu of %llu bytes",
             (unsigned long long)file.st_size, (unsigned long long)needs);
    return false;
}

static void unpin(pinned_t *pinned)
{
    if (pinned->txn != NULL)
        mdb_txn_abort(pinned->txn);
    if (pinned->env != NULL)
        mdb_env_close(pinned->env);
}

/* After a walk over all pages: the parts must agree. */
static void compare(check_t *check)
{
    if (check->format == 0 || !check->has_hash_key)
        found(check, STORE_CHECK_TREE, "the format or the key of its hashes is missing");
    else if (check->format != TABLE_FORMAT)
        found(check, STORE_CHECK_TREE, "it has format %u and this edge reads format %u", check->format,
              TABLE_FORMAT);
    else if (check->listed != check->recorded || check->listed_sum != check->recorded_sum)
        found(check, STORE_CHECK_TREE, "the list of names (%llu) and the records (%llu) differ",
              (unsigned long long)check->listed, (unsigned long long)check->recorded);
    if (check->last_version > check->sequence)
        found(check, STORE_CHECK_TREE, "the last version given out (%llu) is below that of a preview (%llu)",
              (unsigned long long)check->sequence, (unsigned long long)check->last_version);
    if (check->names != check->hashes)
        found(check, STORE_CHECK_TREE, "API keys by name (%llu) and by hash (%llu) differ",
              (unsigned long long)check->names, (unsigned long long)check->hashes);
}

static bool is_there(const char *dir)
{
    char path[PATH_BYTES + 16];
    struct stat file;
    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    return stat(path, &file) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

static void check_pages(check_t *check, const pinned_t *pinned)
{
    const env_pages_calls_t calls = {.entry = on_entry, .progress = on_progress, .arg = check};
    char error[ERROR_MAX] = "", cut[ERROR_MAX] = "";
    uint64_t before = check->sum->findings;
    bool whole = is_whole(pinned, cut);
    switch (env_pages_walk(pinned->fd, &pinned->meta, STR("records"), &calls, error, sizeof(error))) {
    case ENV_PAGES_GOOD:
        if (check->sum->findings == before)
            compare(check);
        break;
    case ENV_PAGES_BAD:
        if (whole)
            found(check, STORE_CHECK_TREE, "data.mdb is damaged: %s", error);
        else
            found(check, STORE_CHECK_TREE, "%s", cut);
        break;
    case ENV_PAGES_ENDED:
        found(check, STORE_CHECK_TREE, "the key of its hashes is missing");
        break;
    case ENV_PAGES_NO_MEMORY:
        found(check, STORE_CHECK_UNDONE, "%s", error);
        break;
    }
}

static void check_environment(const char *dir, store_part_t content, bool in_use,
                              const store_check_calls_t *calls, store_check_sum_t *sum)
{
    check_t check = {.calls = calls, .sum = sum, .dir = dir, .content = content};
    char error[ERROR_MAX] = "";
    pinned_t pinned;
    if (!is_there(dir))
        return;
    sum->environments++;
    if (!pin(dir, content != STORE_PART_BOXES, in_use, &pinned, error))
        found(&check, STORE_CHECK_TREE, "%s", error);
    else if (pinned.meta.txn != 0) /* else its writer ended before its first commit */
        check_pages(&check, &pinned);
    unpin(&pinned);
    if (check.format > sum->format || (check.format == sum->format && check.minor > sum->minor)) {
        sum->format = check.format;
        sum->minor = check.minor;
    }
}

void store_check(const char *durable_dir, const char *volatile_dir, bool in_use,
                 const store_check_calls_t *calls, store_check_sum_t *sum)
{
    char dir[PATH_BYTES], error[ERROR_MAX];
    *sum = (store_check_sum_t){.environments = 0};
    if (!store_made_check(durable_dir, error, sizeof(error))) {
        sum->findings++;
        sum->damaged |= STORE_PARTS_DURABLE; /* open parts may be without a name */
        calls->finding(STORE_CHECK_TREE, error, calls->arg);
    }
    for (size_t i = 0; i < STORE_DURABLE_COUNT; i++)
        if (store_durable_dir(durable_dir, store_durable_names[i], dir, sizeof(dir)) &&
            !store_made_unfinished(durable_dir, store_durable_names[i]))
            check_environment(dir, store_durable_part(i), in_use, calls, sum);
    if (volatile_dir != NULL)
        check_environment(volatile_dir, STORE_PART_BOXES, in_use, calls, sum);
}
