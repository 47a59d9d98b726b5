#ifndef BOXEDGE_CMD_PREVIEW_H
#define BOXEDGE_CMD_PREVIEW_H

/* boxedge preview: argv[0] is the command's name. Returns the exit status (cli.h). */
int cmd_preview(int argc, char **argv);

#endif
