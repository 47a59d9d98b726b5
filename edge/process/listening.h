/*
 * What listens in a box, where the edge can see it: through /proc of a process in the box's network
 * namespace. For sentences that say why a port cannot be reached, and nothing else: the process may have
 * ended, and another may have its number.
 */
#ifndef BOXEDGE_LISTENING_H
#define BOXEDGE_LISTENING_H

#include "store.h"

/* Ports that are kept of one look, and those of an answer, which travels (listening_message.h). */
#define LISTENING_TABLE_MAX  256
#define LISTENING_ANSWER_MAX 16
/* Of a line of the box's log in an answer, without its zero. */
#define LISTENING_LINE_MAX 159

typedef struct listening_port {
    uint16_t port;
    bool loopback; /* on loopback addresses only: nobody outside the box reaches it */
} listening_port_t;

/* All that was seen, each port once, ascending. Not `known`: no rights, no such process. */
typedef struct listening_table {
    bool known;
    uint16_t count;
    listening_port_t ports[LISTENING_TABLE_MAX];
} listening_table_t;

/* What somebody who was refused at a port may hear: that port, where it listens, and then others that may be
 * exposed, ascending; and the line of the box's log that best explains it, whether or not ports are known. */
typedef struct listening {
    bool known;
    uint8_t count;
    listening_port_t ports[LISTENING_ANSWER_MAX];
    char line[LISTENING_LINE_MAX + 1]; /* printable UTF-8 (last_words_print); "" where there is none */
} listening_t;

/* Reads at most 1 MiB of /proc/<pid>/net, which blocks: on a thread. `pid` 0: not known. */
void listening_read(uint32_t pid, listening_table_t *out);
/* NULL where nothing listens on the port. */
const listening_port_t *listening_find(const listening_port_t *ports, size_t count, uint16_t port);
/*
 * Out of the table of `box`, without a line. A box that has no network of its own (of the process provider)
 * shares the machine's: of those only the ports that it declares are its own.
 */
void listening_pick(const listening_table_t *table, const store_box_t *box, uint16_t port, listening_t *out);

#endif
