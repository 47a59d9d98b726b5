/*
 * Names (box id, port) as byte strings that sort by id and then port: the id, a zero byte, which
 * sorts before all characters of ids, and the port, high byte first.
 */
#ifndef BOXEDGE_ORDER_H
#define BOXEDGE_ORDER_H

#include "hostname.h"
#include "siphash.h"

/* Ids in tables: those of boxes, names of API keys, and hashes as hexadecimal digits after one
 * character. */
#define ORDER_ID_MAX  65
#define ORDER_KEY_MAX (ORDER_ID_MAX + 3)

typedef struct order_key {
    uint8_t bytes[ORDER_KEY_MAX];
    size_t len;
} order_key_t;

/* The key of a name. An id longer than ORDER_ID_MAX gives a key after all names that start with its
 * beginning. */
order_key_t order_key(str_t id, uint16_t port);
/* The keyed hash of a name, of at most ORDER_ID_MAX bytes of id. */
uint64_t order_hash(const siphash_key_t *key, str_t id, uint16_t port);
/* The name in a key; *id points into it. Returns false if the bytes are no key. */
MUST_USE bool order_name(str_t key, str_t *id, uint16_t *port);

#endif
