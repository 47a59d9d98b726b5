/*
 * Acts that the filter of system calls must refuse, and acts that a worker needs.
 */
#ifndef BOXEDGE_SYSTEM_ACTS_H
#define BOXEDGE_SYSTEM_ACTS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Open descriptors from before the filter, like a worker's. */
typedef struct acts_world {
    int file; /* readable and writable, with some bytes */
    int listener;
    struct sockaddr_in listens;
    int pair[2];
    int epoll;
    void *page;     /* writable */
    pid_t stranger; /* another process of the same user */
} acts_world_t;

/* Returns false with errno. */
bool acts_open(acts_world_t *world, pid_t stranger);

/* Returns like a system call. */
typedef struct forbidden_act {
    const char *name;
    long (*call)(const acts_world_t *world);
} forbidden_act_t;

typedef struct needed_act {
    const char *name;
    bool (*works)(const acts_world_t *world);
} needed_act_t;

/* Both end with an act without a name. */
extern const forbidden_act_t forbidden_acts[];
extern const needed_act_t needed_acts[];

#endif
