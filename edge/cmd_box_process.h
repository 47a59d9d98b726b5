#ifndef BOXEDGE_CMD_BOX_PROCESS_H
#define BOXEDGE_CMD_BOX_PROCESS_H

#include "cli.h"

/* Whether `boxedge box <verb> BOX` is about process boxes: logs, start, stop. */
bool cmd_box_process_takes(const char *verb);
/* Such a command: cli->args are the verb and the box. */
int cmd_box_process(const cli_t *cli);

/*
 * Takes the next piece of a box's output off `*rest` that a terminal may show: what was written, but of
 * control characters only tabs, line ends and the sequences that set colours; others are '?'. Empty at the
 * end.
 */
str_t cmd_box_process_piece(str_t *rest);

#endif
