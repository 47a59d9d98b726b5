/* "boxedge check": reports errors of a configuration file, and prints an example. */
#ifndef BOXEDGE_CMD_CHECK_H
#define BOXEDGE_CMD_CHECK_H

/*
 * `argv[0]` is "check". Returns the exit status: 0 the file is valid (perhaps with warnings), 1 it has
 * errors, 2 the command line is wrong. Errors and warnings go to stderr.
 */
int cmd_check(int argc, char **argv);

#endif
