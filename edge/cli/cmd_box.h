#ifndef BOXEDGE_CMD_BOX_H
#define BOXEDGE_CMD_BOX_H

/* boxedge box: argv[0] is the command's name. Returns the exit status (cli.h). */
int cmd_box(int argc, char **argv);

#endif
