#include "store_made.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "env_meta.h"
#include "sync.h"

#define PATH_BYTES 4096
/* Larger than any note; the rest of a longer file is ignored. */
#define NOTE_BYTES 1024
#define NAME_BYTES 64
#define PAGE_BYTES 4096

const char *const store_durable_names[STORE_DURABLE_COUNT] = {".",         "rules",   "keys",
                                                              "deletions", "aliases", "links"};

/* The number of a part is older than the parts behind the boxes. */
size_t store_durable_place(store_part_t part)
{
    if (part == STORE_PART_BOXES)
        return STORE_DURABLE_COUNT;
    return part < STORE_PART_BOXES ? (size_t)part : (size_t)part - 1;
}

store_part_t store_durable_part(size_t place)
{
    return (store_part_t)(place < STORE_PART_BOXES ? place : place + 1);
}

bool store_durable_dir(const char *durable_dir, const char *name, char *out, size_t len)
{
    bool top = strcmp(name, ".") == 0;
    int n = snprintf(out, len, "%s%s%s", durable_dir, top ? "" : "/", top ? "" : name);
    return n >= 0 && (size_t)n < len;
}

static bool note_path(const char *durable_dir, const char *suffix, char path[PATH_BYTES])
{
    int n = snprintf(path, PATH_BYTES, "%s.made%s", durable_dir, suffix);
    if (n >= 0 && n < PATH_BYTES)
        return true;
    errno = ENAMETOOLONG;
    return false;
}

/* Reads the note; empty if it is missing, or in a directory that this process may not enter: it can
 * open no store there either. Returns false with errno. */
static bool read_note(const char *durable_dir, char note[NOTE_BYTES + 1], size_t *len)
{
    char path[PATH_BYTES];
    *len = 0;
    if (!note_path(durable_dir, "", path))
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES;
    ssize_t n = read(fd, note, NOTE_BYTES);
    int error = errno;
    close(fd);
    errno = error;
    if (n < 0)
        return false;
    *len = (size_t)n;
    note[n] = '\0';
    return true;
}

/* Returns whether the environment's file exists. */
static bool is_there(const char *durable_dir, const char *name)
{
    char dir[PATH_BYTES], path[PATH_BYTES + 16];
    struct stat file;
    if (!store_durable_dir(durable_dir, name, dir, sizeof(dir)))
        return true; /* the opening finds the error */
    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    return stat(path, &file) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

bool store_durable_complete(const char *durable_dir)
{
    for (size_t i = 0; i < STORE_DURABLE_FIRST; i++)
        if (!is_there(durable_dir, store_durable_names[i]))
            return false;
    return true;
}

/* Names in notes are single directories, also those of a later edge. */
static bool is_name(str_t line)
{
    if (line.n == 0 || line.n >= NAME_BYTES)
        return false;
    for (size_t i = 0; i < line.n; i++)
        if (line.p[i] < 'a' || line.p[i] > 'z')
            return str_eq(line, STR("."));
    return true;
}

/* Takes the next line that is a name off *rest. */
static bool next_name(str_t *rest, char name[NAME_BYTES])
{
    while (rest->n != 0) {
        const char *end = memchr(rest->p, '\n', rest->n);
        str_t line = str_make(rest->p, end != NULL ? (size_t)(end - rest->p) : rest->n);
        *rest = str_from_offset(*rest, line.n + (end != NULL));
        if (is_name(line)) {
            snprintf(name, NAME_BYTES, "%.*s", STR_ARG(line));
            return true;
        }
    }
    return false;
}

/* The commits that the file of an environment shows. */
typedef enum age {
    AGE_UNBORN, /* missing, or without the meta pages that LMDB writes first */
    AGE_EMPTY,  /* before its first commit */
    AGE_MADE,   /* after the first one, which its writer makes immediately */
    AGE_USED,   /* or damaged */
} age_t;

static age_t age_of(const char *durable_dir, const char *name)
{
    static const uint8_t zeros[2 * PAGE_BYTES];
    uint8_t begin[2 * PAGE_BYTES];
    char dir[PATH_BYTES], path[PATH_BYTES + 16], error[256];
    env_meta_t meta;
    if (!store_durable_dir(durable_dir, name, dir, sizeof(dir)))
        return AGE_USED;
    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? AGE_UNBORN : AGE_USED;
    ssize_t n = pread(fd, begin, sizeof(begin), 0);
    age_t age = AGE_USED;
    if (n >= 0 && (n < (ssize_t)sizeof(begin) || memcmp(begin, zeros, sizeof(begin)) == 0))
        age = AGE_UNBORN;
    else if (n > 0 && env_meta_read(fd, false, 0, &meta, error, sizeof(error)))
        age = meta.txn == 0 ? AGE_EMPTY : meta.txn == 1 ? AGE_MADE : AGE_USED;
    close(fd);
    return age;
}

bool store_made_unfinished(const char *durable_dir, const char *name)
{
    char note[NOTE_BYTES + 1], listed[NAME_BYTES];
    size_t len;
    if (!read_note(durable_dir, note, &len) || age_of(durable_dir, name) > AGE_EMPTY)
        return false;
    for (str_t rest = str_make(note, len); next_name(&rest, listed);)
        if (strcmp(listed, name) == 0)
            return false;
    for (size_t i = 0; i < STORE_DURABLE_COUNT; i++)
        if (age_of(durable_dir, store_durable_names[i]) == AGE_USED)
            return false;
    return true;
}

bool store_made_check(const char *durable_dir, char *error, size_t error_len)
{
    char note[NOTE_BYTES + 1], name[NAME_BYTES], dir[PATH_BYTES];
    size_t len;
    if (!read_note(durable_dir, note, &len)) {
        snprintf(error, error_len, "%.256s.made cannot be read: %s", durable_dir, strerror(errno));
        return false;
    }
    for (str_t rest = str_make(note, len); next_name(&rest, name);) {
        bool there = is_there(durable_dir, name);
        if ((there && age_of(durable_dir, name) != AGE_EMPTY) ||
            !store_durable_dir(durable_dir, name, dir, sizeof(dir)))
            continue;
        snprintf(error, error_len,
                 "%.256s: data.mdb %s, though the store was made; restore a backup "
                 "(`boxedge store restore DIR`), or remove %.256s.made to begin without what it recorded",
                 dir, there ? "has lost its first commit" : "is missing", durable_dir);
        return false;
    }
    return true;
}

/* Writes the file at `path` anew, on disk when it returns. */
static bool write_file(const char *path, const char *text, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return false;
    ssize_t n = write(fd, text, len);
    bool ok = n == (ssize_t)len && fsync(fd) == 0;
    int error = n >= 0 && n < (ssize_t)len ? ENOSPC : errno;
    close(fd);
    errno = error;
    return ok;
}

/* LMDB syncs the files of the environments, and not their names. */
static bool sync_environments(const char *durable_dir)
{
    char dir[PATH_BYTES];
    for (size_t i = 0; i < STORE_DURABLE_COUNT; i++)
        if (!store_durable_dir(durable_dir, store_durable_names[i], dir, sizeof(dir)) || !sync_path(dir))
            return false;
    return sync_parent(durable_dir);
}

bool store_made_note(const char *durable_dir)
{
    char path[PATH_BYTES], fresh[PATH_BYTES], note[NOTE_BYTES + 1], text[NOTE_BYTES] = "";
    size_t len, used = 0;
    for (size_t i = 0; i < STORE_DURABLE_COUNT; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s\n", store_durable_names[i]);
    if (read_note(durable_dir, note, &len) && str_eq(str_make(note, len), str_make(text, used)))
        return true;
    return sync_environments(durable_dir) && note_path(durable_dir, "", path) &&
           note_path(durable_dir, ".new", fresh) && write_file(fresh, text, used) &&
           rename(fresh, path) == 0 && sync_parent(path);
}
