/*
 * Where previews and box states are recorded: two LMDB environments with one set of functions. `durable`
 * holds previews and is synced before a change is acknowledged; `volatile` holds box states and addresses, on
 * tmpfs, and is never synced. One process writes (the controller); any number read without a lock. A read
 * transaction lives for one call. A process opens a store once, and one thread at a time uses it.
 *
 * Records have a version byte first, and unknown versions are refused, so that a later edge may change them.
 */
#ifndef BOXEDGE_STORE_H
#define BOXEDGE_STORE_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "hostname.h"
#include "str.h"

#define STORE_LABEL_MAX      128
#define STORE_ORIGINS_MAX    512
#define STORE_BLOCK_TEXT_MAX 64
#define STORE_BOX_PORTS_MAX  16
/* Of an API key, and of its plan: as the configuration has them. */
#define STORE_KEY_NAME_MAX 63
/* API keys in all, revoked ones included. */
#define STORE_KEYS_MAX 100000
/* Blocks in all. */
#define STORE_BLOCKS_MAX 4096

typedef struct store store_t;

typedef enum store_result {
    STORE_OK,
    STORE_NOT_FOUND,
    STORE_CONFLICT, /* a condition of the change does not hold: nothing was changed */
    STORE_TAKEN,    /* the alias of a preview is another box's by now: nothing was changed */
    STORE_TOO_MANY, /* a bound on the number of such records is reached: nothing was changed */
    STORE_FULL,     /* the map or the disk is full: nothing was changed */
    STORE_FAILED,   /* store_error says why */
} store_result_t;

typedef enum box_state {
    BOX_UNKNOWN = 0, /* no such box */
    BOX_RUNNING,
    BOX_PAUSED, /* frozen or stopped: it can be woken */
    BOX_GONE,
} box_state_t;

/* Who knows of a box and can wake it. */
typedef enum box_provider {
    PROVIDER_STATIC = 0, /* the configuration; always running */
    PROVIDER_PROCESS,
    PROVIDER_DOCKER,
    PROVIDER_HTTP,
} box_provider_t;

typedef enum host_header { HOST_HEADER_PUBLIC = 0, HOST_HEADER_LOCALHOST } host_header_t;

/* What the app behind a preview speaks. */
typedef enum preview_protocol { PREVIEW_HTTP1 = 0, PREVIEW_H2C } preview_protocol_t;

typedef struct store_preview {
    char id[BOX_ID_MAX + 1];
    uint16_t port;
    uint64_t version;    /* from a store-wide sequence that is never reused */
    uint64_t created_at; /* unix seconds */
    host_header_t host_header;
    preview_protocol_t protocol;
    bool background_wakes;     /* what its pages ask for by themselves wakes its box each time */
    bool bearer;               /* a bearer token opens it */
    bool basic;                /* user and password open it; with neither it is public */
    uint8_t bearer_sha256[32]; /* of the token */
    uint8_t basic_sha256[32];  /* of "user:password" */
    uint64_t expires_at;       /* unix seconds; 0: never. From then on it is not found */
    char label[STORE_LABEL_MAX + 1];
    char alias[BOX_ID_MAX + 1];                /* stands for the id in its host name; empty: none */
    char allow_origins[STORE_ORIGINS_MAX + 1]; /* serialized origins, lower case, one space between */
} store_preview_t;

/* What is refused at once, whoever asks. */
typedef enum store_block_kind { BLOCK_BOX, BLOCK_PREVIEW, BLOCK_CIDR } store_block_kind_t;
typedef struct store_block {
    store_block_kind_t kind;
    char text[STORE_BLOCK_TEXT_MAX +
              1]; /* "box", "box-3000", "192.0.2.0/24": as canonical as its kind allows */
    uint64_t created_at;
} store_block_t;

/* Keys that sign session cookies: the first signs, both verify. All zero: there is none yet. */
typedef struct store_cookie_keys {
    uint8_t current[32];
    uint8_t previous[32];
    uint64_t rotated_at; /* unix seconds */
} store_cookie_keys_t;

/* An API key that the edge knows by name (`boxedge key`). The key itself is kept nowhere. */
typedef struct store_key {
    char name[STORE_KEY_NAME_MAX + 1]; /* of letters, digits, '-', '.', '_' */
    uint8_t sha256[32];                /* of the key */
    char plan[STORE_KEY_NAME_MAX +
              1];        /* the same characters; whether there is such a plan is not known here */
    uint64_t created_at; /* unix seconds */
    uint64_t revoked_at; /* unix seconds; 0: it is valid */
} store_key_t;

/*
 * A call that asks the API to delete a box, from before it goes up until it is known what came of it. While a
 * box has one, its previews are not to be found.
 */
typedef struct store_deletion {
    char id[BOX_ID_MAX + 1];
    uint16_t slot;          /* the store's */
    uint64_t call;          /* a random number: which call */
    uint64_t asked_at_ms;   /* unix ms */
    uint64_t closed_at_ms;  /* unix ms: the call ended, and nobody knows how; 0: it goes on */
    uint32_t pid;           /* of the worker that has the call */
    uint32_t birth;         /* of that process (process_birth); 0: not known */
    uint8_t key_sha256[32]; /* of the key that asked; all zero: none that is known */
} store_deletion_t;
/* Calls for one box; boxes in one call; records in all. */
#define STORE_DELETIONS_PER_BOX 16
#define STORE_DELETIONS_AT_ONCE 100
#define STORE_DELETIONS_MAX     16384

/* 1 to STORE_KEY_NAME_MAX letters, digits, '-', '.', '_'. */
bool store_key_name_valid(str_t name);

typedef struct store_box {
    char id[BOX_ID_MAX + 1];
    box_state_t state;
    uint64_t generation;     /* changes whenever the box pauses, restarts, moves, or may have */
    struct in6_addr address; /* IPv4 as mapped IPv6 */
    uint16_t fixed_port;     /* 0: the preview's port */
    box_provider_t provider;
    bool keep_alive;     /* the edge never pauses it */
    bool ephemeral;      /* takes no previews */
    bool doubted;        /* it runs as far as is known: its provider is asked before a request goes there */
    uint64_t expires_at; /* unix seconds; 0: never. From then on it is gone */
    uint32_t idle_ms;    /* the edge pauses it after so long without activity; 0: never */
    uint32_t start_ms;   /* its ports may take so long to listen once it runs; 0: as others, wake.timeout */
    uint32_t pid;        /* a process in its network namespace, to see what listens there; 0: unknown */
    /* It began to run lately: until then (unix ms; 0: settled) a port that is not in `listening` may still be
     * coming up, and the controller is asked before anybody connects. */
    uint64_t settles_at_ms;
    uint16_t ports[STORE_BOX_PORTS_MAX];     /* the only ports that may be exposed */
    uint8_t port_count;                      /* 0: all may be */
    uint16_t listening[STORE_BOX_PORTS_MAX]; /* seen to listen in this generation */
    uint8_t listening_count;
} store_box_t;

/* Whether the port may be exposed, and whether it was seen to listen in this generation (store_box.c). */
bool store_box_exposes(const store_box_t *box, uint16_t port);
bool store_box_listens(const store_box_t *box, uint16_t port);
/* How long its ports may take to listen; `usual` where nothing is said of it. */
uint32_t store_box_start_ms(const store_box_t *box, uint32_t usual);

/*
 * Opens (and with `writer` makes) both environments in directories that exist. Call it after fork. On error
 * returns NULL and writes a sentence into `error`. `map_bytes` is the size of the map of each environment,
 * sparse.
 */
store_t *store_open(const char *durable_dir, const char *volatile_dir, uint64_t map_bytes, bool writer,
                    char *error, size_t error_len);
/*
 * For a store that no process has open: whether the writer's store_open would open it, or make what is
 * missing of it. Makes nothing and changes nothing; the directories may be missing. On false the sentence of
 * store_open.
 */
MUST_USE bool store_look(const char *durable_dir, const char *volatile_dir, uint64_t map_bytes, char *error,
                         size_t error_len);
void store_close(store_t **store);
/* False where a file of the store has been cut short since it was opened: reading it may kill the process. A
 * system call for each of its four files. */
MUST_USE bool store_whole(store_t *store);
/* What STORE_FAILED was, a sentence; valid until the next call. */
const char *store_error(const store_t *store);

/* ---- readers; safe in any process ---- */
MUST_USE store_result_t store_get_preview(store_t *store, str_t id, uint16_t port, store_preview_t *out);
MUST_USE store_result_t store_get_box(store_t *store, str_t id, store_box_t *out);
/* Calls `each` for every record in a stable order until it returns false. Do not call the store from `each`.
 */
MUST_USE store_result_t store_each_preview(store_t *store, bool (*each)(const store_preview_t *, void *),
                                           void *arg);
/* The same from the first record at or after (id, port) in that order; with box_only no further than that id.
 */
MUST_USE store_result_t store_each_preview_from(store_t *store, str_t id, uint16_t port, bool box_only,
                                                bool (*each)(const store_preview_t *, void *), void *arg);
MUST_USE store_result_t store_each_box(store_t *store, bool (*each)(const store_box_t *, void *), void *arg);

MUST_USE store_result_t store_each_block(store_t *store, bool (*each)(const store_block_t *, void *),
                                         void *arg);
/* A number that changes whenever blocks or cookie keys do; cheap. One that was read before them is theirs or
 * an older one. */
uint64_t store_rules_version(store_t *store);
/* STORE_NOT_FOUND before the first rotation. */
MUST_USE store_result_t store_get_cookie_keys(store_t *store, store_cookie_keys_t *out);

MUST_USE store_result_t store_find_key(store_t *store, const uint8_t sha256[32], store_key_t *out);
MUST_USE store_result_t store_get_key(store_t *store, str_t name, store_key_t *out);
/* As store_each_preview, by name, from the first one at or after `name`. */
MUST_USE store_result_t store_each_key(store_t *store, str_t name, bool (*each)(const store_key_t *, void *),
                                       void *arg);
/* A number that changes whenever a key does; cheap. One that was read before a key is that key's or an older
 * one. UINT64_MAX where nothing can be read. */
uint64_t store_keys_version(store_t *store);

/* What can stand for a box's id in host names: as that, without '_' (RFC 952, RFC 1123). */
bool store_alias_valid(str_t alias);
/* Aliases in all. */
#define STORE_ALIASES_MAX 100000
/* The box whose previews carry the alias; STORE_NOT_FOUND where none does. */
MUST_USE store_result_t store_get_alias(store_t *store, str_t alias, char owner[BOX_ID_MAX + 1]);
/* The preview that a host name's id and port mean: of that box, or of the box that has it for an alias. */
MUST_USE store_result_t store_find_preview(store_t *store, str_t name, uint16_t port, store_preview_t *out);
/* STORE_OK: the box has a deletion; STORE_NOT_FOUND: none. */
MUST_USE store_result_t store_is_being_deleted(store_t *store, str_t id);
/* As store_each_preview, those of box `id`; where that is empty, all. */
MUST_USE store_result_t store_each_deletion(store_t *store, str_t id,
                                            bool (*each)(const store_deletion_t *, void *), void *arg);

/* A number that grows with each change of deletions; cheap. 0 where nothing can be read. */
uint64_t store_deletions_version(store_t *store);

/* What the store holds and what it takes. */
typedef struct store_stats {
    uint64_t previews;
    uint64_t boxes;
    uint64_t durable_bytes; /* of the map in use, the free list included */
    uint64_t volatile_bytes;
    uint64_t map_bytes; /* of each environment */
    uint64_t readers;   /* reader slots in use, both environments */
} store_stats_t;
MUST_USE store_result_t store_get_stats(store_t *store, store_stats_t *out);

/*
 * ---- the writer ----
 * What cannot be a record (box_id_valid, preview_label_fits, port 0, BOX_UNKNOWN) is refused with
 * STORE_FAILED when it is put, and not found when it is deleted. When the map is full, what only replaces or
 * deletes still works.
 */
/* Creates or replaces; fills preview->version from the sequence. On disk before it returns. */
MUST_USE store_result_t store_put_preview(store_t *store, store_preview_t *preview);
MUST_USE store_result_t store_delete_preview(store_t *store, str_t id, uint16_t port);
/* One of several changes of previews that are committed together. */
typedef struct store_change {
    bool remove;       /* delete (preview.id, preview.port); else create or replace it */
    bool stay_private; /* STORE_CONFLICT where a public preview would replace one that asks for credentials
                          and has not expired by the new one's created_at */
    bool keep_version; /* put it as the version that it has: sessions and open tunnels stay its own */
    store_preview_t preview; /* what is put; its version is set, for a delete to one above all before it */
    store_result_t result;   /* of this change: STORE_NOT_FOUND for a delete of what is not there,
                                STORE_CONFLICT, STORE_TAKEN, or STORE_FAILED for a name that is refused; none of
                                these stops   another change */
} store_change_t;
#define STORE_APPLY_MAX 16384
/*
 * Makes the changes, at most STORE_APPLY_MAX (asserted), in their order in one transaction, on disk before it
 * returns. Where the transaction fails (full, I/O error) nothing was changed and every change has that
 * result, which is also returned. After STORE_FULL they can be tried one by one: some of them may still work.
 */
MUST_USE store_result_t store_apply(store_t *store, store_change_t *changes, size_t count);
MUST_USE store_result_t store_put_box(store_t *store, const store_box_t *box);
MUST_USE store_result_t store_delete_box(store_t *store, str_t id);
/* Blocks: on disk before it returns; STORE_TOO_MANY where there would be more than STORE_BLOCKS_MAX. */
MUST_USE store_result_t store_put_block(store_t *store, const store_block_t *block);
MUST_USE store_result_t store_delete_block(store_t *store, store_block_kind_t kind, str_t text);
MUST_USE store_result_t store_put_cookie_keys(store_t *store, const store_cookie_keys_t *keys);
/*
 * Creates a key, or replaces the one that has both this name and this hash; on disk before it returns. A name
 * or hash that belongs to another key is refused (STORE_FAILED): whoever may meet one looks first.
 * STORE_TOO_MANY where there would be more than STORE_KEYS_MAX.
 */
MUST_USE store_result_t store_put_key(store_t *store, const store_key_t *key);
/* Forgets it: unlike one that is revoked it is then a key like any that nobody named. */
MUST_USE store_result_t store_delete_key(store_t *store, str_t name);
/*
 * Reserves an alias for previews of box `id`, which are put afterwards: until one carries it, another box may
 * take it, and the put is refused with STORE_TAKEN. STORE_CONFLICT where it is another
 * box's alias, or the id of a box that is known or has previews; STORE_TOO_MANY beyond STORE_ALIASES_MAX.
 */
MUST_USE store_result_t store_claim_alias(store_t *store, str_t alias, str_t id);
/*
 * Deletions: on disk before these return. All that are put (at most STORE_DELETIONS_AT_ONCE, asserted) or
 * none; STORE_FULL where a box, or the store, would have too many.
 */
MUST_USE store_result_t store_put_deletions(store_t *store, const store_deletion_t *deletions, size_t count);
/* Sets closed_at_ms of the one with this id and call. */
MUST_USE store_result_t store_close_deletion(store_t *store, const store_deletion_t *deletion,
                                             uint64_t closed_at_ms);
/* Removes those of the box for which `ends` is true (NULL: all). STORE_NOT_FOUND where there is none. */
MUST_USE store_result_t store_end_deletions(store_t *store, str_t id,
                                            bool (*ends)(const store_deletion_t *, void *), void *arg);
/*
 * Whether a deletion of the box ended after `version` was read (store_deletions_version), as far as the
 * writer knows: true also for a version before its own start, or before the last STORE_ENDED_MAX ends.
 */
#define STORE_ENDED_MAX 1024
bool store_deletion_ended_since(const store_t *store, str_t id, uint64_t version);
/* Frees the reader slots of processes that died. Returns how many. */
int store_reap_readers(store_t *store);

#endif
