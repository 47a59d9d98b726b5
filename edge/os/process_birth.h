/* Tells a process from a later one with the same id. */
#ifndef BOXEDGE_PROCESS_BIRTH_H
#define BOXEDGE_PROCESS_BIRTH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Of the process's start and of the machine's boot. Reads /proc: not for a loop. 0 where that is not known,
 * or the process has ended. */
uint32_t process_birth(pid_t pid);
/* Whether the process of this id and birth lives. Where one of the births is not known, the id decides. */
bool process_lives(pid_t pid, uint32_t birth);

#endif
