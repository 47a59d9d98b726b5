/*
 * The listening ports of a box, read through /proc of a process in the box's network namespace.
 * Only for sentences that explain why a port cannot be reached: the process may have ended, and its
 * number may belong to another one.
 */
#ifndef BOXEDGE_BOX_PORTS_H
#define BOXEDGE_BOX_PORTS_H

#include "store.h"

/* Maximum ports of one reading, and of an answer, which is sent as a message (box_ports_message.h). */
#define BOX_PORTS_MAX        256
#define BOX_PORTS_ANSWER_MAX 16
/* Maximum length of a log line in an answer, without its NUL. */
#define BOX_PORTS_LINE_MAX 159

typedef struct box_port {
    uint16_t port;
    bool loopback; /* on loopback addresses only: not reachable from outside the box */
} box_port_t;

/* All listening ports, each once, ascending. `known` is false without rights or without the
 * process. */
typedef struct box_ports {
    bool known;
    uint16_t count;
    box_port_t ports[BOX_PORTS_MAX];
} box_ports_t;

/* The answer for a client that was refused at a port: that port, if it listens, then other ports
 * that may be exposed, ascending. `line` is the line of the box's log that best explains the
 * refusal; it may be set even if the ports are not known. */
typedef struct box_ports_answer {
    bool known;
    uint8_t count;
    box_port_t ports[BOX_PORTS_ANSWER_MAX];
    char line[BOX_PORTS_LINE_MAX + 1]; /* printable UTF-8 (last_words_print); "" for none */
} box_ports_answer_t;

/* Reads at most 1 MiB of /proc/<pid>/net. Blocks, so call it on a thread. `pid` 0: unknown. */
void box_ports_read(uint32_t pid, box_ports_t *out);
/* Returns NULL if the port is not listening. */
const box_port_t *box_ports_find(const box_port_t *ports, size_t count, uint16_t port);
/*
 * Picks the answer, without a line, from the table of `box`. A box of the process provider has no separate
 * network and shares the machine's, so only its declared ports count.
 */
void box_ports_pick(const box_ports_t *table, const store_box_t *box, uint16_t port, box_ports_answer_t *out);

#endif
