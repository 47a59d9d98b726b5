/* `boxedge store`: check, back up and restore the store, whether or not the edge runs. */
#ifndef BOXEDGE_CMD_STORE_H
#define BOXEDGE_CMD_STORE_H

int cmd_store(int argc, char **argv);

#endif
