/*
 * The figures of a process of the edge for the metrics: CPU time, resident memory, open descriptors. Each
 * process writes its own into the shared segment once a second, because no other process may read them.
 * Workers and controller are not dumpable, so only CAP_SYS_PTRACE opens their /proc/PID/fd, also to their
 * supervisor. The mount option hidepid hides the rest.
 *
 * The files of /proc are opened at the start, before a worker's filter of system calls. Descriptors are
 * counted in pieces, so that many of them hold up no loop.
 */
#ifndef BOXEDGE_PROCESS_FACTS_H
#define BOXEDGE_PROCESS_FACTS_H

#include "shm.h"

/* Interval of process_facts_turn, and the most descriptors that it counts at a time. */
#define PROCESS_FACTS_MS 1000u

typedef struct process_facts {
    shm_process_t *cells;
    int statm_fd; /* of /proc/self/statm; -1: none */
    int fds_fd;   /* of the directory /proc/self/fd; -1: likewise */
    uint64_t due_ms;
    uint64_t counted; /* descriptors, so far in this pass */
} process_facts_t;

/* In the process itself: opens its files, and writes the facts that do not change. A missing /proc leaves
 * facts out. */
void process_facts_open(process_facts_t *facts, shm_process_t *cells);
/* Call in each turn: writes the rest when it is due. */
void process_facts_turn(process_facts_t *facts, uint64_t now_ms);
void process_facts_close(process_facts_t *facts);

/* The facts of another process, as far as this one may see them: of the logger, which has no segment. */
void process_facts_look(int32_t pid, shm_process_t *cells);
/* The process has ended. */
void process_facts_wipe(shm_process_t *cells);

#endif
