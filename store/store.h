/*
 * The store of previews and box states: two LMDB environments with one set of functions. `durable`
 * has previews; a change is synced before it is acknowledged. `volatile` has box states and
 * addresses, on tmpfs, and is never synced. One process writes (the controller); any number read
 * without a lock. A read transaction lasts for one call. A process opens a store once, and one
 * thread at a time uses it.
 *
 * Records begin with a version byte, and unknown versions are refused, so that a later edge may
 * change them.
 */
#ifndef BOXEDGE_STORE_H
#define BOXEDGE_STORE_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>

#include "hostname.h"
#include "str.h"

#define STORE_LABEL_MAX      128
#define STORE_ORIGINS_MAX    512
#define STORE_BLOCK_TEXT_MAX 64
#define STORE_BOX_PORTS_MAX  16
/* Of an API key, and of its plan: as in the configuration. */
#define STORE_KEY_NAME_MAX 63
/* API keys in all, revoked ones included. */
#define STORE_KEYS_MAX 100000
/* Blocks in all. */
#define STORE_BLOCKS_MAX 4096

typedef struct store store_t;

typedef enum store_result {
    STORE_OK,
    STORE_NOT_FOUND,
    STORE_CONFLICT, /* a condition of the change does not hold; nothing was changed */
    STORE_TAKEN,    /* the preview's alias now belongs to another box; nothing was changed */
    STORE_TOO_MANY, /* the number of such records is at its bound; nothing was changed */
    STORE_FULL,     /* the map or the disk is full; nothing was changed */
    STORE_FAILED,   /* store_error gives the reason */
} store_result_t;

/* The environments of a store: those below the durable directory as store_durable_names, and the boxes. In
 * sets each is a bit (STORE_PART), the same in all edges. */
typedef enum store_part {
    STORE_PART_PREVIEWS,
    STORE_PART_RULES,
    STORE_PART_KEYS,
    STORE_PART_DELETIONS,
    STORE_PART_ALIASES,
    STORE_PART_BOXES,
    STORE_PART_LINKS,
    STORE_PARTS,
} store_part_t;
#define STORE_PART(part)    (UINT64_C(1) << (part))
#define STORE_PARTS_ALL     (STORE_PART(STORE_PARTS) - 1)
#define STORE_PARTS_DURABLE (STORE_PARTS_ALL & ~STORE_PART(STORE_PART_BOXES))

typedef enum box_state {
    BOX_UNKNOWN = 0, /* no such box */
    BOX_RUNNING,
    BOX_PAUSED, /* frozen or stopped: it can be woken */
    BOX_GONE,
} box_state_t;

/* The part of the edge that knows a box and can wake it. */
typedef enum box_provider {
    PROVIDER_STATIC = 0, /* the configuration; always running */
    PROVIDER_PROCESS,
    PROVIDER_DOCKER,
    PROVIDER_HTTP,
} box_provider_t;

/* The host by which an app is named towards itself (docs/http.md, "Forwarding"). */
typedef enum host_header {
    HOST_HEADER_DEFAULT = 0, /* none was asked for (store_host_header) */
    HOST_HEADER_LOCALHOST,
    HOST_HEADER_LOCALHOST_BARE, /* the same, and no field names the public host */
    HOST_HEADER_PUBLIC,
    HOST_HEADER_AUTO, /* the first of them with which the app answers */
} host_header_t;
#define HOST_HEADER_LAST HOST_HEADER_AUTO

/* The protocol of the app behind a preview. */
typedef enum preview_protocol { PREVIEW_HTTP1 = 0, PREVIEW_H2C } preview_protocol_t;

typedef struct store_preview {
    char id[BOX_ID_MAX + 1];
    uint16_t port;
    uint64_t version;    /* from a store-wide sequence that is never reused */
    uint64_t created_at; /* unix seconds */
    host_header_t host_header;
    preview_protocol_t protocol;
    bool background_wakes;     /* automatic requests of its pages also wake its box, every time */
    bool bearer;               /* a bearer token opens it */
    bool basic;                /* user and password open it; with neither it is public */
    uint8_t bearer_sha256[32]; /* of the token */
    uint8_t basic_sha256[32];  /* of "user:password" */
    uint64_t expires_at;       /* unix seconds; 0: never. From then on it is not found */
    char label[STORE_LABEL_MAX + 1];
    char alias[BOX_ID_MAX + 1];                /* replaces the id in its host name; empty: none */
    char allow_origins[STORE_ORIGINS_MAX + 1]; /* serialized origins, lower case, separated by one space */
} store_preview_t;

/* A block: its box, preview or network is refused for all clients. */
typedef enum store_block_kind { BLOCK_BOX, BLOCK_PREVIEW, BLOCK_CIDR } store_block_kind_t;
typedef struct store_block {
    store_block_kind_t kind;
    char text[STORE_BLOCK_TEXT_MAX +
              1]; /* "box", "box-3000", "192.0.2.0/24": as canonical as its kind allows */
    uint64_t created_at;
} store_block_t;

/* Keys that sign session cookies: the first signs, both verify. All zero: none yet. */
typedef struct store_cookie_keys {
    uint8_t current[32];
    uint8_t previous[32];
    uint64_t rotated_at; /* unix seconds */
} store_cookie_keys_t;

/* An API key that the edge knows by name (`boxedge key`). The key itself is not stored. */
typedef struct store_key {
    char name[STORE_KEY_NAME_MAX + 1]; /* of letters, digits, '-', '.', '_' */
    uint8_t sha256[32];                /* of the key */
    char plan[STORE_KEY_NAME_MAX + 1]; /* the same characters; the plan may not exist */
    uint64_t created_at;               /* unix seconds */
    uint64_t revoked_at;               /* unix seconds; 0: valid */
} store_key_t;

/*
 * A call that asks the API to delete a box, from before it is forwarded until its outcome is known.
 * A box with such a record has hidden previews.
 */
typedef struct store_deletion {
    char id[BOX_ID_MAX + 1];
    uint16_t slot;            /* set by the store */
    uint64_t call;            /* a random number that identifies the call */
    uint64_t requested_at_ms; /* unix ms; 0: the record is damaged, and only box and slot are known */
    uint64_t closed_at_ms;    /* unix ms: the call ended with an unknown outcome; 0: it is under way */
    uint32_t pid;             /* of the worker that has the call */
    uint32_t birth;           /* of that process (process_birth); 0: not known */
    uint8_t key_sha256[32];   /* of the key that asked; all zero: not known */
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
    uint64_t generation;     /* changes whenever the box pauses, restarts or moves, or may have */
    struct in6_addr address; /* IPv4 as mapped IPv6 */
    uint16_t fixed_port;     /* 0: the preview's port */
    box_provider_t provider;
    bool keep_alive;     /* the edge never pauses it */
    bool ephemeral;      /* takes no previews */
    bool doubted;        /* presumably running: ask its provider before a request goes to it */
    uint64_t expires_at; /* unix seconds; 0: never. From then on it is gone */
    uint32_t idle_ms;    /* the edge pauses it after this time without activity; 0: never */
    uint32_t start_ms;   /* maximum time for its ports to listen once it runs; 0: as others, wake.timeout */
    uint32_t pid;        /* a process in its network namespace, to read its listening ports; 0: unknown */
    /* The box began to run lately. Until this time (monotonic ms; 0: settled) a port outside `listening`
     * may still come up, and a worker asks the controller before it connects. */
    uint64_t settles_at_ms;
    uint16_t ports[STORE_BOX_PORTS_MAX];     /* the only ports that may be exposed */
    uint8_t port_count;                      /* 0: all may be */
    uint16_t listening[STORE_BOX_PORTS_MAX]; /* seen to listen in this generation */
    uint8_t listening_count;
} store_box_t;

/* Returns whether the port may be exposed, and whether it was seen to listen in this generation
 * (store_box.c). */
bool store_box_exposes(const store_box_t *box, uint16_t port);
bool store_box_listens(const store_box_t *box, uint16_t port);
/* A time further ahead is of an earlier boot, or of an edge that recorded the wall clock: settled. */
#define STORE_BOX_SETTLES_MAX_MS (2u * 3600 * 1000)
/* Whether the edge may connect to the port without a wake: the box runs, and the port listens or has had time
 * to. A doubted box is not ready. `now_ms` is monotonic. */
bool store_box_ready(const store_box_t *box, uint16_t port, uint64_t now_ms);
/* The maximum time for its ports to listen; `usual` if the box has no own one. */
uint32_t store_box_start_ms(const store_box_t *box, uint32_t usual);
/* "static", "process"..., as people read it. */
const char *store_provider_name(box_provider_t provider);
/* Whether the edge can read the output of this provider's boxes: `boxedge box logs`. */
bool store_keeps_log(box_provider_t provider);
/* The mode of a preview whose box is of that provider: never HOST_HEADER_DEFAULT. Without one that was asked
 * for, private previews of process and docker boxes get HOST_HEADER_AUTO, all others HOST_HEADER_PUBLIC. */
host_header_t store_host_header(const store_preview_t *preview, box_provider_t provider);
/* Whether the edge may name the app localhost because that works (HOST_HEADER_AUTO): never for a public
 * preview. */
bool store_tries_hosts(const store_preview_t *preview, box_provider_t provider);

/*
 * Opens (and with `writer` makes) both environments in existing directories. Call after fork. On
 * error returns NULL and writes a sentence into `error`. `map_bytes` is the size of each
 * environment's map, sparse.
 */
store_t *store_open(const char *durable_dir, const char *volatile_dir, uint64_t map_bytes, bool writer,
                    char *error, size_t error_len);
/*
 * As store_open, for a process that must continue without some parts: returns NULL only without memory.
 * Parts that cannot be opened, and for a writer those of `known`, which are damaged, are closed: each read
 * and change of them is STORE_FAILED with the reason. *closed is the set of closed parts; with any, `error`
 * has the first reason.
 */
store_t *store_open_patiently(const char *durable_dir, const char *volatile_dir, uint64_t map_bytes,
                              bool writer, uint64_t known, uint64_t *closed, char *error, size_t error_len);
/* Whether all parts that are closed, none of which is known to be damaged, could be opened now. */
MUST_USE bool store_may_open(store_t *store);
/*
 * `known`, a set of parts, must outlive the store: those that any process knows to be damaged. Records that
 * cannot be found there may exist. So a find without a result, a list and a change of them are STORE_FAILED.
 * So is a change of a part whose damage this store has met itself.
 */
void store_set_known_damage(store_t *store, const _Atomic uint64_t *known);
/*
 * For a store that no process has open: returns whether the writer's store_open would open it, or
 * make its missing parts. Makes and changes nothing; the directories may be missing. On false
 * `error` is store_open's sentence.
 */
MUST_USE bool store_look(const char *durable_dir, const char *volatile_dir, uint64_t map_bytes, char *error,
                         size_t error_len);
void store_close(store_t **store);
/* Returns false if a file of the store was truncated after the opening. One system call for each of its
 * files. */
MUST_USE bool store_whole(store_t *store);
/* The parts in which a read has met damaged pages since the opening, or that are closed since they are
 * damaged. Readable records are still read. */
uint64_t store_damaged(const store_t *store);
/* The reason of STORE_FAILED, a sentence; valid until the next call. */
const char *store_error(const store_t *store);
/* Whether the last STORE_FAILED of store_get_preview, store_find_preview, store_is_being_deleted or
 * store_get_box is about one record: it is damaged, or this edge cannot read its layout. Others can
 * be read. */
bool store_bad_record(const store_t *store);

/* ---- readers; safe in any process ---- */
MUST_USE store_result_t store_get_preview(store_t *store, str_t id, uint16_t port, store_preview_t *out);
MUST_USE store_result_t store_get_box(store_t *store, str_t id, store_box_t *out);
/* Calls `each` for every record in a stable order until it returns false. `each` must not call the
 * store. */
MUST_USE store_result_t store_each_preview(store_t *store, bool (*each)(const store_preview_t *, void *),
                                           void *arg);
/* As store_each_preview, from the first record at or after (id, port) in that order; with box_only
 * only those of that id. */
MUST_USE store_result_t store_each_preview_from(store_t *store, str_t id, uint16_t port, bool box_only,
                                                bool (*each)(const store_preview_t *, void *), void *arg);
/* Whether the box has a preview. Also true if that cannot be read. */
bool store_has_previews(store_t *store, str_t id);
MUST_USE store_result_t store_each_box(store_t *store, bool (*each)(const store_box_t *, void *), void *arg);

MUST_USE store_result_t store_each_block(store_t *store, bool (*each)(const store_block_t *, void *),
                                         void *arg);
MUST_USE store_result_t store_count_blocks(store_t *store, uint64_t *count);
/* A number that changes whenever blocks or cookie keys do; cheap. If read before them, it is their
 * version or an older one. */
uint64_t store_rules_version(store_t *store);
/* STORE_NOT_FOUND before the first rotation. STORE_FAILED with store_bad_record: they are lost. */
MUST_USE store_result_t store_get_cookie_keys(store_t *store, store_cookie_keys_t *out);

MUST_USE store_result_t store_find_key(store_t *store, const uint8_t sha256[32], store_key_t *out);
/* Finds the key also if the record of its name is damaged. */
MUST_USE store_result_t store_get_key(store_t *store, str_t name, store_key_t *out);
/* For a name of which store_get_key fails: the hash of its key, whose own record may be damaged. */
MUST_USE store_result_t store_get_key_hash(store_t *store, str_t name, uint8_t sha256[32]);
/* As store_each_preview, by name, from the first one at or after `name`. */
MUST_USE store_result_t store_each_key(store_t *store, str_t name, bool (*each)(const store_key_t *, void *),
                                       void *arg);
/* A number that changes whenever a key does; cheap. If read before a key, it is that key's version
 * or an older one. UINT64_MAX if the store cannot be read. */
uint64_t store_keys_version(store_t *store);

/* Returns whether the text may replace a box's id in host names: a valid id without '_' (RFC 952,
 * RFC 1123). */
bool store_alias_valid(str_t alias);
/* Aliases in all. */
#define STORE_ALIASES_MAX 100000
/* The box whose previews carry the alias; STORE_NOT_FOUND without one. */
MUST_USE store_result_t store_get_alias(store_t *store, str_t alias, char owner[BOX_ID_MAX + 1]);
/* The preview for a host name's id and port: of that box, or of the box with that alias. */
MUST_USE store_result_t store_find_preview(store_t *store, str_t name, uint16_t port, store_preview_t *out);
/* STORE_OK: the box has a deletion; STORE_NOT_FOUND: it has none. */
MUST_USE store_result_t store_is_being_deleted(store_t *store, str_t id);
/* As store_each_preview, for the deletions of box `id`, or all if `id` is empty; damaged ones included. */
MUST_USE store_result_t store_each_deletion(store_t *store, str_t id,
                                            bool (*each)(const store_deletion_t *, void *), void *arg);

/* Changes that the disk or a full map refused, of the writer. */
typedef struct store_trouble {
    uint64_t failed; /* since the opening */
    const char *why; /* why the last one was refused; NULL: it was taken. Valid until the next change */
    const char *dir; /* of the environment */
} store_trouble_t;
/* Those of the durable environments, or of the volatile one. */
store_trouble_t store_trouble(const store_t *store, bool durable);
/* Whether either refuses changes, or a part is closed or known to be damaged: a message tells of it, once. */
bool store_in_trouble(const store_t *store);

/* A number that grows with each change of deletions; cheap. 0 if the store cannot be read. */
uint64_t store_deletions_version(store_t *store);

/* The number of records and the size of the store. */
typedef struct store_stats {
    uint64_t previews;
    uint64_t boxes;
    uint64_t durable_bytes; /* of the map in use, the free list included */
    uint64_t volatile_bytes;
    uint64_t map_bytes; /* of each environment */
    uint64_t readers;   /* reader slots in use, both environments */
    uint64_t blocks;
    bool blocks_known; /* the part of the store that has them can be read */
    /* Of the writer: store_trouble. */
    uint64_t durable_failed;
    uint64_t volatile_failed;
    bool durable_trouble;
    bool volatile_trouble;
} store_stats_t;
MUST_USE store_result_t store_get_stats(store_t *store, store_stats_t *out);

/*
 * ---- the writer ---- Invalid records (box_id_valid, preview_label_fits, port 0, BOX_UNKNOWN) are
 * refused with STORE_FAILED by a put, and not found by a delete. When the map is full, pure
 * replacements and deletions still work.
 */
/* Creates or replaces; fills preview->version from the sequence. On disk before it returns. */
MUST_USE store_result_t store_put_preview(store_t *store, store_preview_t *preview);
MUST_USE store_result_t store_delete_preview(store_t *store, str_t id, uint16_t port);
/* One of several changes of previews that are committed together. */
typedef struct store_change {
    bool remove;       /* delete (preview.id, preview.port); else create or replace it */
    bool stay_private; /* STORE_CONFLICT if a public preview would replace one with credentials that has not
                          expired by the new one's created_at */
    bool keep_version; /* keep its version, so that sessions and open tunnels stay valid */
    store_preview_t preview; /* the new record; gets its version, a delete one above all earlier */
    int disk_error;          /* of STORE_FULL and STORE_FAILED: ENOSPC, EROFS or EIO of the disk; EUCLEAN: the
                                store is damaged; else 0 */
    store_result_t result;   /* of this change: STORE_NOT_FOUND for a delete without a record, STORE_CONFLICT,
                                STORE_TAKEN, or STORE_FAILED for a refused name; other changes continue */
} store_change_t;
#define STORE_APPLY_MAX 16384
/*
 * Makes the changes, at most STORE_APPLY_MAX (asserted), in order in one transaction, on disk before it
 * returns. If the transaction fails (full, I/O error), the store is unchanged; all changes have that result,
 * which is also returned. After STORE_FULL the caller may try them one by one, because some may still fit.
 */
MUST_USE store_result_t store_apply(store_t *store, store_change_t *changes, size_t count);
MUST_USE store_result_t store_put_box(store_t *store, const store_box_t *box);
MUST_USE store_result_t store_delete_box(store_t *store, str_t id);
/* Blocks: on disk before it returns; STORE_TOO_MANY beyond STORE_BLOCKS_MAX. */
MUST_USE store_result_t store_put_block(store_t *store, const store_block_t *block);
MUST_USE store_result_t store_delete_block(store_t *store, store_block_kind_t kind, str_t text);
MUST_USE store_result_t store_put_cookie_keys(store_t *store, const store_cookie_keys_t *keys);
/*
 * Creates a key, or replaces the one with the same name and hash, damaged records included; on disk
 * before it returns. A name
 * or hash of another key is refused (STORE_FAILED); callers that may meet one check first.
 * STORE_TOO_MANY beyond STORE_KEYS_MAX.
 */
MUST_USE store_result_t store_put_key(store_t *store, const store_key_t *key);
/* Deletes the record. Unlike a revoked key, the key then counts as unknown. */
MUST_USE store_result_t store_delete_key(store_t *store, str_t name);
/*
 * Reserves an alias for previews of box `id`, which are put afterwards. Until a preview carries it,
 * another box may take it; the put then fails with STORE_TAKEN. STORE_CONFLICT if it is another
 * box's alias, or the id of a box that is known or has previews; STORE_TOO_MANY beyond
 * STORE_ALIASES_MAX.
 */
MUST_USE store_result_t store_claim_alias(store_t *store, str_t alias, str_t id);
/*
 * Deletions: on disk before these return. Puts all (at most STORE_DELETIONS_AT_ONCE, asserted) or
 * none; STORE_FULL if a box, or the store, would have too many.
 */
MUST_USE store_result_t store_put_deletions(store_t *store, const store_deletion_t *deletions, size_t count);
/* Sets closed_at_ms of the record with this id and call. */
MUST_USE store_result_t store_close_deletion(store_t *store, const store_deletion_t *deletion,
                                             uint64_t closed_at_ms);
/* Removes the box's records for which `ends` is true (NULL: all). STORE_NOT_FOUND if none exist. */
MUST_USE store_result_t store_end_deletions(store_t *store, str_t id,
                                            bool (*ends)(const store_deletion_t *, void *), void *arg);
/*
 * Returns whether a deletion of the box ended after `version` was read (store_deletions_version).
 * Errs towards true: for a version before the writer's start, or before the last STORE_ENDED_MAX
 * ends.
 */
#define STORE_ENDED_MAX 1024
bool store_deletion_ended_since(const store_t *store, str_t id, uint64_t version);
/* Frees the reader slots of dead processes. Returns their number. */
int store_reap_readers(store_t *store);

#endif
