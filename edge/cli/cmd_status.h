#ifndef BOXEDGE_CMD_STATUS_H
#define BOXEDGE_CMD_STATUS_H

/* boxedge status: argv[0] is the command's name. Returns the exit status (cli.h). */
int cmd_status(int argc, char **argv);

#endif
