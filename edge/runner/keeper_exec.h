/*
 * The last steps of a child of the keeper before it becomes the box's command.
 */
#ifndef BOXEDGE_KEEPER_EXEC_H
#define BOXEDGE_KEEPER_EXEC_H

#include "keeper.h"

/* The failed step, reported over a pipe that closes when the command runs. */
typedef enum keeper_stage {
    STAGE_SESSION = 1,
    STAGE_RIGHTS,
    STAGE_DIRECTORY,
    STAGE_COMMAND,
} keeper_stage_t;

typedef struct keeper_report {
    int32_t stage; /* keeper_stage_t */
    int32_t error; /* errno */
} keeper_report_t;

/* The command's ends of its pipes. */
typedef struct keeper_ends {
    int input_fd;
    int output_fd;
} keeper_ends_t;

/* In the child of `keeper`: becomes the command. */
_Noreturn void keeper_exec(const keeper_spec_t *spec, pid_t keeper, const keeper_ends_t *ends, int report_fd);

#endif
