/* Distinguishes a process from a later one with the same id. */
#ifndef BOXEDGE_PROCESS_BIRTH_H
#define BOXEDGE_PROCESS_BIRTH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A hash of the process's start and the machine's boot. Reads /proc, so do not call it on a loop. 0
 * if that cannot be read, or the process has ended. */
uint32_t process_birth(pid_t pid);
/* Returns whether the process of this id and birth lives. If one of the births is unknown, the id
 * decides. */
bool process_lives(pid_t pid, uint32_t birth);

#endif
