#ifndef BOXEDGE_CMD_DEMO_APP_H
#define BOXEDGE_CMD_DEMO_APP_H

/* boxedge demo-app: argv[0] is the command's name. Returns the exit status (cli.h). */
int cmd_demo_app(int argc, char **argv);

#endif
