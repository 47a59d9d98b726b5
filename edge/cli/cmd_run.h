/*
 * "boxedge run": the edge itself, in the foreground.
 */
#ifndef BOXEDGE_CMD_RUN_H
#define BOXEDGE_CMD_RUN_H

/* `argv[0]` is "run". Returns the exit status: 0 after a drain, 1 if the start failed, 2 if the command line
 * is wrong. */
int cmd_run(int argc, char **argv);

#endif
