/*
 * The commands. Each has its own file (cmd_<name>.c) and gets the rest of the command line, with its own name
 * as argv[0]. Each returns the exit status (cli.h): that of `run` is 0 after a drain and 1 if the start
 * failed, that of `check` 1 if the file has errors.
 */
#ifndef BOXEDGE_COMMANDS_H
#define BOXEDGE_COMMANDS_H

#include <stdbool.h>
#include <stdio.h>

int cmd_block(int argc, char **argv);
int cmd_box(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_demo_app(int argc, char **argv);
int cmd_drain(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_key(int argc, char **argv);
int cmd_metrics(int argc, char **argv);
int cmd_preview(int argc, char **argv);
int cmd_recent(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_requests(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_store(int argc, char **argv);
int cmd_support_bundle(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_unblock(int argc, char **argv);
int cmd_upgrade(int argc, char **argv);
int cmd_upstream(int argc, char **argv);
int cmd_version(int argc, char **argv);

/* cmd_check.c: prints the lines of `boxedge check` about the file to `lines`, and the message for no errors
 * to `out`. `here`: also checks that the edge can start on this machine, as this user. Returns the exit
 * status.
 */
int check_file(const char *path, bool here, FILE *out, FILE *lines);

#endif
