/* `boxedge key`: named API keys. */
#ifndef BOXEDGE_CMD_KEY_H
#define BOXEDGE_CMD_KEY_H

int cmd_key(int argc, char **argv);

#endif
