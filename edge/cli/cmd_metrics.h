#ifndef BOXEDGE_CMD_METRICS_H
#define BOXEDGE_CMD_METRICS_H

/* boxedge metrics: argv[0] is the command's name. Returns the exit status (cli.h). */
int cmd_metrics(int argc, char **argv);

#endif
