#ifndef BOXEDGE_CMD_UPGRADE_H
#define BOXEDGE_CMD_UPGRADE_H

/* boxedge upgrade: argv[0] is the command's name. Returns the exit status (cli.h). */
int cmd_upgrade(int argc, char **argv);

#endif
