#ifndef BOXEDGE_CMD_BOX_PROCESS_H
#define BOXEDGE_CMD_BOX_PROCESS_H

#include "cli.h"

/* Whether `verb` of `boxedge box <verb> BOX` is one of logs, start, stop. */
bool cmd_box_process_takes(const char *verb);
/* Runs such a command: cli->args are the verb and the box. */
int cmd_box_process(const cli_t *cli);

#endif
