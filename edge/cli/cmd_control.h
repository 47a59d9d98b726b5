#ifndef BOXEDGE_CMD_CONTROL_H
#define BOXEDGE_CMD_CONTROL_H

/* boxedge reload, boxedge drain: argv[0] is the command's name. They return the exit status (cli.h). */
int cmd_reload(int argc, char **argv);
int cmd_drain(int argc, char **argv);

#endif
