#ifndef BOXEDGE_CMD_BOX_PROCESS_H
#define BOXEDGE_CMD_BOX_PROCESS_H

#include "cli.h"

/* Whether `boxedge box <verb> BOX` is about process boxes: logs, start, stop. */
bool cmd_box_process_takes(const char *verb);
/* Such a command: cli->args are the verb and the box. */
int cmd_box_process(const cli_t *cli);

#endif
