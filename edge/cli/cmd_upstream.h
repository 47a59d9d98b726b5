/* `boxedge upstream`: the servers of the API, and their draining. */
#ifndef BOXEDGE_CMD_UPSTREAM_H
#define BOXEDGE_CMD_UPSTREAM_H

int cmd_upstream(int argc, char **argv);

#endif
