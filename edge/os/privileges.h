/*
 * The rights of the workers and the controller, and the function that gives up all others.
 */
#ifndef BOXEDGE_PRIVILEGES_H
#define BOXEDGE_PRIVILEGES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "str.h"

#define PRIVILEGES_GROUPS_MAX 64

typedef struct privileges {
    bool drop; /* false: the process was not started as root, or stays root; no other field is set */
    uid_t uid;
    gid_t gid;
    gid_t groups[PRIVILEGES_GROUPS_MAX];
    size_t group_count;
} privileges_t;

/* Looks `user` up ("" keeps the rights, as does a process that is not root). Returns false with a
 * sentence that proposes a remedy. */
MUST_USE bool privileges_find(const char *user, privileges_t *out, char *error, size_t error_len);

/*
 * For a child of `parent`, after fork. Becomes the user for good (groups, ids, no new privileges),
 * cannot be dumped or traced, and gets SIGKILL when `parent` dies. Returns false with errno; the
 * child must then end.
 */
MUST_USE bool privileges_drop(const privileges_t *privileges, pid_t parent);

/* For any process that holds keys: no core files, and no access by other processes of the same
 * user. */
void privileges_hide_memory(void);
/* Undoes the part of privileges_hide_memory that blocks the leak checker of the test build; call
 * before exit. */
void privileges_before_exit(void);

/* Raises the limit of open descriptors as far as possible (as root: to the system's maximum).
 * Returns it. */
size_t privileges_raise_descriptors(void);

/*
 * Makes the directory `path` with `mode` if it is missing, and its parents (0755). As root with
 * `privileges->drop` and `give`, the user becomes the owner of a new one, and a directory of
 * another owner is an error. Returns false with a sentence.
 */
MUST_USE bool privileges_make_dir(const char *path, mode_t mode, bool give, const privileges_t *privileges,
                                  char *error, size_t error_len);
/* Returns whether privileges_make_dir with `give` accepts an existing directory; otherwise writes
 * its sentence. True if the path does not exist. */
MUST_USE bool privileges_look_dir(const char *path, const privileges_t *privileges, char *error,
                                  size_t error_len);

#endif
