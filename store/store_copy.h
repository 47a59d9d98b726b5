/*
 * Copies of a store's durable environments: one moment of all, also while an edge changes them.
 */
#ifndef BOXEDGE_STORE_COPY_H
#define BOXEDGE_STORE_COPY_H

#include <sys/types.h>

#include "store.h"

/*
 * Copies the environments below `from` into the new directory `to`, on disk when it returns. `in_use`:
 * an edge may have them open. Then the copy holds the writer of each until a read transaction of all
 * is open, some microseconds, and reads on beside it. Without, no file of `from` is made or changed.
 * Returns false with a sentence, and leaves no `to`. Call it in a process that has no store open.
 */
MUST_USE bool store_copy(const char *from, bool in_use, const char *to, char *error, size_t error_len);

/* Versions of previews that a restored store passes over, so that none which an edge gave out after the
 * copy is given out again: sessions are bound to them. */
#define STORE_COPY_SKIP ((uint64_t)1 << 32)
/* Prepares the copy in `dir` to be served: skips versions, and makes `uid` and `gid` (-1: unchanged) its
 * owners. On disk when it returns. */
MUST_USE bool store_copy_prepare(const char *dir, uid_t uid, gid_t gid, char *error, size_t error_len);

/* Puts the store `fresh` in the place of `dir` atomically: at no time does half a store exist. The former
 * one, if any, becomes `kept`, which must not exist. All have one parent directory. Returns false with a
 * sentence: then `fresh` and `dir` are as they were. */
MUST_USE bool store_copy_swap(const char *fresh, const char *dir, const char *kept, char *error,
                              size_t error_len);

/* After a rename to `dir`: puts that name on disk. False with a sentence. */
MUST_USE bool store_copy_keep_name(const char *dir, char *error, size_t error_len);

/* Removes the files of a store that a copy left unfinished, and nothing else. */
void store_copy_remove(const char *dir);

#endif
