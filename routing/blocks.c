#include "blocks.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/rand.h>

#include "address.h"
#include "conf_net.h"
#include "hostname.h"
#include "siphash.h"

/* Lengths of prefixes: 0 to 128. */
#define PREFIX_LENGTHS 129
/* Length of the prefix that holds IPv4. */
#define MAPPED_BITS 96

/* A key of the table. Compared and hashed byte by byte: no padding, and unused bytes are zero. */
typedef struct block_key {
    char name[BOX_ID_MAX]; /* the box, or the 16 bytes of a network's address */
    uint8_t kind;          /* store_block_kind_t plus 1; 0 is an empty slot */
    uint16_t number;       /* the port, or a network's length; 0 for a box */
} block_key_t;
_Static_assert(sizeof(block_key_t) == BOX_ID_MAX + 3, "no padding");

struct blocks {
    store_t *store;
    const _Atomic uint64_t *epoch;
    blocks_log_t log;
    siphash_key_t hash_key;
    bool known;       /* a list was read at least once */
    bool failing;     /* the last attempt to read it failed */
    bool changed;     /* since the last call of blocks_changed */
    uint64_t seen;    /* epoch at which the list was current */
    uint64_t version; /* store_rules_version of the list */
    block_key_t *table;
    size_t capacity; /* a power of two, at least twice the number of entries */
    size_t boxes;    /* boxes and previews in the table */
    size_t networks;
    uint8_t lengths[PREFIX_LENGTHS]; /* lengths of the networks, each once */
    size_t length_count;
};

blocks_t *blocks_new(store_t *store, const _Atomic uint64_t *epoch, blocks_log_t log)
{
    blocks_t *blocks = calloc(1, sizeof(*blocks));
    assert(blocks != NULL);
    blocks->store = store;
    blocks->epoch = epoch;
    blocks->log = log;
    int made = RAND_bytes((unsigned char *)&blocks->hash_key, sizeof(blocks->hash_key));
    assert(made == 1);
    return blocks;
}

void blocks_free(blocks_t **blocks)
{
    if (*blocks == NULL)
        return;
    free((*blocks)->table);
    free(*blocks);
    *blocks = NULL;
}

/* ---- keys ---- */

static block_key_t name_key(store_block_kind_t kind, str_t id, uint16_t port)
{
    assert(id.n <= BOX_ID_MAX);
    block_key_t key = {.kind = (uint8_t)(kind + 1), .number = port};
    memcpy(key.name, id.p, id.n);
    return key;
}

/* The key of the first `bits` bits of the address. */
static block_key_t network_key(const struct in6_addr *address, unsigned bits)
{
    block_key_t key = {.kind = BLOCK_CIDR + 1, .number = (uint16_t)bits};
    memcpy(key.name, address, bits / 8);
    if (bits % 8 != 0)
        key.name[bits / 8] = (char)(address->s6_addr[bits / 8] & (0xff00u >> (bits % 8)));
    return key;
}

/* The key's slot, or the empty slot for it. */
static block_key_t *place_of(const blocks_t *blocks, const block_key_t *key)
{
    size_t i = siphash(&blocks->hash_key, key, sizeof(*key)) & (blocks->capacity - 1);
    while (blocks->table[i].kind != 0 && memcmp(&blocks->table[i], key, sizeof(*key)) != 0)
        i = (i + 1) & (blocks->capacity - 1);
    return &blocks->table[i];
}

static bool has(const blocks_t *blocks, const block_key_t *key)
{
    return place_of(blocks, key)->kind != 0;
}

/* ---- reading the list ---- */

typedef struct reading {
    store_block_t *at;
    size_t count;
    size_t capacity;
} reading_t;

static bool take(const store_block_t *block, void *arg)
{
    reading_t *reading = arg;
    if (reading->count == reading->capacity) {
        reading->capacity = reading->capacity != 0 ? 2 * reading->capacity : 16;
        reading->at = realloc(reading->at, reading->capacity * sizeof(*reading->at));
        assert(reading->at != NULL);
    }
    reading->at[reading->count++] = *block;
    return true;
}

static void add_network(blocks_t *blocks, str_t text)
{
    conf_network_t network;
    if (conf_net_read_network(text, &network) != NULL)
        return; /* this edge records no such network */
    block_key_t key = network_key(&network.address, network.bits);
    *place_of(blocks, &key) = key;
    blocks->networks++;
    if (memchr(blocks->lengths, (int)network.bits, blocks->length_count) == NULL)
        blocks->lengths[blocks->length_count++] = (uint8_t)network.bits;
}

static void add_name(blocks_t *blocks, store_block_kind_t kind, str_t text)
{
    hostname_t label;
    block_key_t key = {0};
    if (kind == BLOCK_BOX && text.n <= BOX_ID_MAX)
        key = name_key(kind, text, 0);
    else if (kind == BLOCK_PREVIEW && hostname_parse_label(text, &label))
        key = name_key(kind, str_make(label.id, label.id_len), label.port);
    if (key.kind == 0)
        return;
    *place_of(blocks, &key) = key;
    blocks->boxes++;
}

static void fill(blocks_t *blocks, const reading_t *reading)
{
    free(blocks->table);
    blocks->capacity = 16;
    while (blocks->capacity < 2 * reading->count)
        blocks->capacity *= 2;
    blocks->table = calloc(blocks->capacity, sizeof(*blocks->table));
    assert(blocks->table != NULL);
    blocks->boxes = blocks->networks = blocks->length_count = 0;
    for (size_t i = 0; i < reading->count; i++) {
        str_t text = str_from(reading->at[i].text);
        if (reading->at[i].kind == BLOCK_CIDR)
            add_network(blocks, text);
        else
            add_name(blocks, reading->at[i].kind, text);
    }
}

/* Logs only changes between success and failure, since each request repeats a failed attempt. */
static void note_result(blocks_t *blocks, store_result_t result)
{
    bool failing = result != STORE_OK;
    char sentence[512];
    if (failing && !blocks->failing) {
        (void)snprintf(sentence, sizeof(sentence), "the list of blocks cannot be read: %s; %s",
                       store_error(blocks->store),
                       blocks->known ? "the one before it stays in force"
                                     : "requests are answered with 503 until it can");
        blocks->log(false, sentence);
    } else if (!failing && blocks->failing) {
        blocks->log(true, "the list of blocks can be read again");
    }
    blocks->failing = failing;
}

/* Reads the list again if it may have changed. */
static void refresh(blocks_t *blocks)
{
    /* Both are read before the list, so that the next call sees a change made meanwhile. */
    uint64_t epoch = atomic_load_explicit(blocks->epoch, memory_order_acquire);
    if (blocks->known && blocks->seen == epoch)
        return;
    uint64_t version = store_rules_version(blocks->store);
    if (!blocks->known || blocks->version != version) {
        reading_t reading = {0};
        store_result_t result = store_each_block(blocks->store, take, &reading);
        if (result == STORE_OK) {
            fill(blocks, &reading);
            blocks->changed = true;
        }
        free(reading.at);
        note_result(blocks, result);
        if (result != STORE_OK)
            return;
    }
    blocks->known = true;
    blocks->version = version;
    blocks->seen = epoch;
}

/* ---- queries ---- */

static blocks_answer_t blocked_if(bool blocked)
{
    return blocked ? BLOCKS_BLOCKED : BLOCKS_CLEAR;
}

blocks_answer_t blocks_has_preview(blocks_t *blocks, str_t box_id, uint16_t port)
{
    refresh(blocks);
    if (!blocks->known)
        return BLOCKS_UNKNOWN;
    if (blocks->boxes == 0)
        return BLOCKS_CLEAR;
    block_key_t box = name_key(BLOCK_BOX, box_id, 0), preview = name_key(BLOCK_PREVIEW, box_id, port);
    return blocked_if(has(blocks, &box) || has(blocks, &preview));
}

blocks_answer_t blocks_has_client(blocks_t *blocks, const struct in6_addr *client)
{
    refresh(blocks);
    if (!blocks->known)
        return BLOCKS_UNKNOWN;
    bool v4 = address_is_v4(client);
    for (size_t i = 0; i < blocks->length_count; i++) {
        if (v4 && blocks->lengths[i] < MAPPED_BITS)
            continue; /* the prefix covers all of IPv4 */
        block_key_t key = network_key(client, blocks->lengths[i]);
        if (has(blocks, &key))
            return BLOCKS_BLOCKED;
    }
    return BLOCKS_CLEAR;
}

blocks_answer_t blocks_has(blocks_t *blocks, str_t box_id, uint16_t port, const struct in6_addr *client)
{
    blocks_answer_t box = blocks_has_preview(blocks, box_id, port);
    return box != BLOCKS_CLEAR ? box : blocks_has_client(blocks, client);
}

bool blocks_changed(blocks_t *blocks)
{
    refresh(blocks);
    bool changed = blocks->changed;
    blocks->changed = false;
    return changed;
}
