/*
 * Whether the file of an LMDB environment is as long as its records need. LMDB maps the file and reads it as
 * memory: behind the end of one that was cut short every read is a SIGBUS, which no process survives.
 *
 * LMDB does not write pages at the end of the file that one transaction both took and gave back, so that a
 * whole file may end before its last page. The writer makes it that long after each commit (env_size_keep):
 * then a shorter one is one that lost something.
 */
#ifndef BOXEDGE_ENV_SIZE_H
#define BOXEDGE_ENV_SIZE_H

#include <stddef.h>

#include <lmdb.h>

#include "str.h"

/* Before mdb_env_open: false where the directory holds an empty file, which LMDB would take for a new
 * environment. Fills `error` then. */
MUST_USE bool env_size_begun(const char *dir, char *error, size_t error_len);
/* After mdb_env_open, before anything is read: false where the file is cut short; fills `error` then. Two
 * system calls. */
MUST_USE bool env_size_whole(MDB_env *env, char *error, size_t error_len);
/* After a commit of the writer: makes the file as long as it has pages. Costs no room on the disk, and a
 * system call. Where that fails the file may be taken for one that was cut short at its next opening. */
void env_size_keep(MDB_env *env);

#endif
