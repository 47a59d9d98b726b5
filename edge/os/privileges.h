/*
 * What rights the workers and the controller run with, and how a process gives up all others.
 */
#ifndef BOXEDGE_PRIVILEGES_H
#define BOXEDGE_PRIVILEGES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "str.h"

#define PRIVILEGES_GROUPS_MAX 64

typedef struct privileges {
    bool drop; /* false: the process was not started as root, or is to stay it; nothing else is set */
    uid_t uid;
    gid_t gid;
    gid_t groups[PRIVILEGES_GROUPS_MAX];
    size_t group_count;
} privileges_t;

/* Looks `user` up ("" keeps the rights; so does not being root). False with a sentence that says what to do.
 */
MUST_USE bool privileges_find(const char *user, privileges_t *out, char *error, size_t error_len);

/*
 * For a child of `parent`, after fork: becomes the user for good (groups, ids, no new privileges), cannot be
 * dumped or traced, and gets SIGKILL when `parent` dies. False with errno: the child must end.
 */
MUST_USE bool privileges_drop(const privileges_t *privileges, pid_t parent);

/* For any process that holds keys: no core files, not readable by others of the same user. */
void privileges_hide_memory(void);
/* Undoes the part of it that the leak checker of the test build needs undone; call before exit. */
void privileges_before_exit(void);

/* Raises the limit of open descriptors as far as it goes (as root: to what the system allows). Returns it. */
size_t privileges_raise_descriptors(void);

/*
 * Makes `path` where it is missing (parents too, 0755) as a directory with `mode`. As root with
 * `privileges->drop` and `give`, a new one is given to the user, and one that belongs to somebody else is an
 * error. False with a sentence.
 */
MUST_USE bool privileges_make_dir(const char *path, mode_t mode, bool give, const privileges_t *privileges,
                                  char *error, size_t error_len);
/* Whether privileges_make_dir with `give` takes a directory that is there; else its sentence. True where
 * nothing is there. */
MUST_USE bool privileges_look_dir(const char *path, const privileges_t *privileges, char *error,
                                  size_t error_len);

#endif
