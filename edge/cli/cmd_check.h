/*
 * "boxedge check": what is wrong with a configuration file, and what one may look like.
 */
#ifndef BOXEDGE_CMD_CHECK_H
#define BOXEDGE_CMD_CHECK_H

/*
 * `argv[0]` is "check". Returns the exit code: 0 the file is fine (warnings may have been printed), 1 it has
 * errors, 2 the command line is wrong. Errors and warnings go to stderr.
 */
int cmd_check(int argc, char **argv);

#endif
