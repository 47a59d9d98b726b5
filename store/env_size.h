/*
 * Checks that the file of an LMDB environment is as long as its records need. LMDB maps the file
 * and reads it as memory. A read beyond the end of a truncated file is a SIGBUS, which kills the
 * process.
 *
 * LMDB does not write pages at the end of the file that one transaction both took and freed. A
 * complete file may therefore end before its last page. The writer extends the file to its full
 * length after each commit (env_size_keep), so a shorter file has lost data, unless a power cut came
 * before the disk had that length. No used page is behind the end of such a file.
 */
#ifndef BOXEDGE_ENV_SIZE_H
#define BOXEDGE_ENV_SIZE_H

#include <stddef.h>

#include <lmdb.h>

#include "str.h"

/* Before mdb_env_open: returns false, and fills `error`, if the directory has an empty file. LMDB
 * would take it for a new environment. */
MUST_USE bool env_size_begun(const char *dir, char *error, size_t error_len);
/* After mdb_env_open: returns false, and fills `error`, if the file is shorter than its pages. Two
 * system calls. */
MUST_USE bool env_size_whole(MDB_env *env, char *error, size_t error_len);
/* The same before the first read, except that only free pages may be missing: a walk over the used
 * ones decides about a file that is short by at most ENV_FREE_TAIL_PAGES. `in_order`: as
 * env_meta_read. */
MUST_USE bool env_size_complete(MDB_env *env, bool in_order, char *error, size_t error_len);
/* After an opening or a commit of the writer: extends the file to the length of its pages. Costs no disk
 * space and one system call. If that fails, the next opening walks the pages. */
void env_size_keep(MDB_env *env);
/* LMDB makes the file of its readers sparse and maps it: on a full disk, the first use of a further page
 * would be a SIGBUS. So the writer takes the space beforehand; no-op on a disk without room. Only before
 * mdb_env_open: to close the file releases the locks by which LMDB knows a live process. */
void env_size_reserve_readers(const char *dir, unsigned readers);

#endif
