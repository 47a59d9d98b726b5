/*
 * The listening ports of a box, read through /proc of a process in the box's network namespace.
 * Only for sentences that explain why a port cannot be reached: the process may have ended, and its
 * number may belong to another one.
 */
#ifndef BOXEDGE_LISTENING_H
#define BOXEDGE_LISTENING_H

#include "store.h"

/* Maximum ports of one reading, and of an answer, which is sent as a message (listening_message.h). */
#define LISTENING_TABLE_MAX  256
#define LISTENING_ANSWER_MAX 16
/* Maximum length of a log line in an answer, without its NUL. */
#define LISTENING_LINE_MAX 159

typedef struct listening_port {
    uint16_t port;
    bool loopback; /* on loopback addresses only: not reachable from outside the box */
} listening_port_t;

/* All listening ports, each once, ascending. `known` is false without rights or without the
 * process. */
typedef struct listening_table {
    bool known;
    uint16_t count;
    listening_port_t ports[LISTENING_TABLE_MAX];
} listening_table_t;

/* The answer for a client that was refused at a port: that port, if it listens, then other ports
 * that may be exposed, ascending. `line` is the line of the box's log that best explains the
 * refusal; it may be set even if the ports are not known. */
typedef struct listening {
    bool known;
    uint8_t count;
    listening_port_t ports[LISTENING_ANSWER_MAX];
    char line[LISTENING_LINE_MAX + 1]; /* printable UTF-8 (last_words_print); "" for none */
} listening_t;

/* Reads at most 1 MiB of /proc/<pid>/net. Blocks, so call it on a thread. `pid` 0: unknown. */
void listening_read(uint32_t pid, listening_table_t *out);
/* Returns NULL if the port is not listening. */
const listening_port_t *listening_find(const listening_port_t *ports, size_t count, uint16_t port);
/*
 * Picks the answer, without a line, from the table of `box`. A box of the process provider has no
 * network of its own and shares the machine's, so only its declared ports count.
 */
void listening_pick(const listening_table_t *table, const store_box_t *box, uint16_t port, listening_t *out);

#endif
