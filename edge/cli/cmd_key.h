/* `boxedge key`: API keys that the edge knows by name. */
#ifndef BOXEDGE_CMD_KEY_H
#define BOXEDGE_CMD_KEY_H

int cmd_key(int argc, char **argv);

#endif
