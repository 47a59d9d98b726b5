/* A runner in the test's own process, with the test in the place of supervisor and controller. Its boxes are
 * real; the test moves the loop's clock. */
#ifndef RUNNER_WORLD_H
#define RUNNER_WORLD_H

#include "runner.h"
#include "runner_message.h"

#define PATIENCE_MS 20000

typedef struct runner_world {
    loop_t *loop;
    shm_t *shm;
    runner_t *runner;
    int supervisor, controller; /* their ends of the channels */
} runner_world_t;

/* The configuration of a box "web" with this command and port, as nobody for root; its text goes to *fd
 * unless NULL.
 */
conf_t *runner_world_conf(const char *command, unsigned port, int *fd);
/* `predecessor_fd`: of runner_args_t. */
void runner_world_begin(runner_world_t *w, loop_t *loop, conf_t *conf, int predecessor_fd);
/* The runner gets a new controller. */
void runner_world_link(runner_world_t *w);
void runner_world_end(runner_world_t *w);

/* The next message of that type at `fd`; others are dropped. */
void runner_world_hear(loop_t *loop, int fd, uint32_t type, ipc_message_t *message);
runner_status_t runner_world_await(runner_world_t *w, runner_state_t state);
/* Starts "web". */
runner_status_t runner_world_start(runner_world_t *w);
/* The log of "web"; the caller frees it with memfile_release. */
char *runner_world_log(runner_world_t *w, size_t *len, uint64_t *end);
bool runner_world_has_ended(int pidfd, int wait_ms);

#endif
