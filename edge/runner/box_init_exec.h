/*
 * The last steps of a child of the box init before it becomes the box's command.
 */
#ifndef BOXEDGE_BOX_INIT_EXEC_H
#define BOXEDGE_BOX_INIT_EXEC_H

#include "box_init.h"

/* The failed step, reported over a pipe that closes when the command runs. */
typedef enum box_init_stage {
    STAGE_SESSION = 1,
    STAGE_RIGHTS,
    STAGE_DIRECTORY,
    STAGE_COMMAND,
} box_init_stage_t;

typedef struct box_init_report {
    int32_t stage; /* box_init_stage_t */
    int32_t error; /* errno */
} box_init_report_t;

/* The command's ends of its pipes. */
typedef struct box_init_ends {
    int input_fd;
    int output_fd;
} box_init_ends_t;

/* In the child of `box init`: becomes the command. */
_Noreturn void box_init_exec(const box_init_spec_t *spec, pid_t box_init, const box_init_ends_t *ends,
                             int report_fd);

#endif
