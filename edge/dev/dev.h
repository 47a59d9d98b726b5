/* The commands for development on one machine. Each gets its own name first, and returns an exit status. */
#ifndef BOXEDGE_DEV_H
#define BOXEDGE_DEV_H

int cmd_dev(int argc, char **argv);
int cmd_trust(int argc, char **argv);
int cmd_untrust(int argc, char **argv);

#endif
