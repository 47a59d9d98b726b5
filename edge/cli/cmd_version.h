#ifndef BOXEDGE_CMD_VERSION_H
#define BOXEDGE_CMD_VERSION_H

/* boxedge version: argv[0] is the command's name. Returns the exit status (cli.h). */
int cmd_version(int argc, char **argv);

#endif
