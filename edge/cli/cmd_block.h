/* `boxedge block` and `boxedge unblock`: refuse boxes, previews and clients' networks at once. */
#ifndef BOXEDGE_CMD_BLOCK_H
#define BOXEDGE_CMD_BLOCK_H

int cmd_block(int argc, char **argv);
int cmd_unblock(int argc, char **argv);

#endif
