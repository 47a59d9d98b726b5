/*
 * The key table: every key of a configuration file, with its type, bounds, default and meaning.
 * Loading, defaults, messages, the reference and the commented default file all come from this
 * table. A key outside of it does not exist.
 */
#ifndef BOXEDGE_CONF_KEYS_H
#define BOXEDGE_CONF_KEYS_H

#include "conf.h"

typedef enum conf_type {
    CONF_SECTION,       /* groups the keys "name.*"; no field */
    CONF_UINT,          /* uint16_t, uint32_t or uint64_t, by `width` */
    CONF_BOOL,          /* bool */
    CONF_FRACTION,      /* uint32_t: millionths, from 0 to 1 */
    CONF_DURATION,      /* uint32_t or uint64_t, milliseconds */
    CONF_SIZE,          /* uint32_t or uint64_t, bytes */
    CONF_PATH,          /* char * */
    CONF_NO_PATH,       /* char *: a path, or "" for none */
    CONF_URL,           /* char *: http or https, or "" for none; without a '/' at the end */
    CONF_PATTERN,       /* char *: a pattern of URL paths; conf_cost.c */
    CONF_NO_TARGET,     /* char *: a path of a URL, '/' first, or "" for none */
    CONF_NO_DOMAIN,     /* char *: a host name or "" for none */
    CONF_NO_NAME,       /* char *: as CONF_NAME, or "" for none */
    CONF_NAME,          /* char[CONF_NAME_MAX + 1]: letters, digits, '-', '.', '_' */
    CONF_METHOD,        /* char[16]: an HTTP method, or "*" */
    CONF_SHA256,        /* uint8_t[32], as hexadecimal digits */
    CONF_ORIGIN,        /* char *: a serialized origin, or "*" */
    CONF_RATE,          /* two uint64_t: units, and their period in ms */
    CONF_SERVER,        /* conf_server_t: host and port */
    CONF_CHOICE,        /* an enum, by `choices` */
    CONF_WORD,          /* char *: 1-64 letters, digits, '-', '.', '_', '/' */
    CONF_LOG,           /* char *: conf_log.h */
    CONF_NODE,          /* char * */
    CONF_USER,          /* char * */
    CONF_DOMAIN,        /* char * */
    CONF_LISTENER_KIND, /* conf_listener_kind_t */
    CONF_ADDRESS,       /* conf_address_t, with a port */
    CONF_BOX_ADDRESS,   /* conf_address_t, the port may be left out (0) */
    CONF_BOX_ID,        /* char[58] */
    CONF_IDLE_ACTION,   /* conf_idle_action_t */
    CONF_NETWORK,       /* conf_network_t */
    CONF_COMMAND,       /* a list of strings, or one string: char ** */
    CONF_ENVIRONMENT,   /* a list of "NAME=value": char ** */
    CONF_PORTS,         /* a list: uint16_t * */
    CONF_HOSTS,         /* a list: char **, host names in lower case */
    CONF_NETWORKS,      /* a list: conf_network_t * */
    CONF_FIELDS,        /* a list: uint8_t *, each an access_field_t */
    CONF_MAPS,          /* a list of maps: a pointer to `elements` of `element_size` bytes */
} conf_type_t;

/* Whether a value may leave the machine, in a support bundle (conf_redact.h). Each key whose type leaves its
 * text to the operator declares it; other types have no room for a secret. */
typedef enum conf_secrecy {
    CONF_UNMARKED,    /* counts as secret if the type needs a mark */
    CONF_OPEN,        /* a name, an address, a path */
    CONF_SECRET_FILE, /* the path of a secret, and perhaps by mistake the secret itself */
    CONF_SECRET,
} conf_secrecy_t;

typedef struct conf_key conf_key_t;

typedef struct conf_table {
    const conf_key_t *keys;
    size_t count;
} conf_table_t;

struct conf_key {
    const char *name; /* dotted: "timeouts.head"; in an element's table its plain name */
    conf_type_t type;
    conf_secrecy_t secrecy;
    const char *unit;     /* the unit of a CONF_UINT: "streams"; NULL for a plain number */
    uint64_t min, max;    /* a number's bounds in its field's unit; bounds of a list's length */
    const char *fallback; /* the default, as the file would write it; NULL for none */
    const char *derived;  /* for a default that depends on other things: a description of them */
    const char *doc;      /* one sentence */
    const char *example;  /* shown in the commented file if no fixed default exists */
    bool required;
    size_t offset;               /* of the field, in conf_t or in the element */
    size_t width;                /* sizeof the field */
    size_t count_offset;         /* lists: of the size_t that counts the elements */
    size_t element_size;         /* lists */
    const conf_table_t *element; /* CONF_MAPS: the keys of an element */
    bool scalars;                /* CONF_MAPS: an element may be the value of its first key alone */
    const char *const *choices;  /* CONF_CHOICE: names by value, then NULL */
};

/* The keys of the file, in the order of the documentation; sections before their keys. */
extern const conf_table_t conf_keys;

/* conf_keys_net.c */
extern const conf_table_t conf_listener_keys, conf_certificate_keys, conf_proxy_keys;

/* conf_keys_boxes.c */
extern const conf_table_t conf_box_keys, conf_process_keys, conf_preview_keys;

/* conf_keys_api.c */
extern const conf_table_t conf_upstream_keys, conf_plan_keys, conf_cost_keys, conf_api_key_keys,
    conf_route_keys, conf_origin_keys;
extern const char *const conf_limits_modes[], *const conf_alias_modes[];

/* conf_keys_find.c */
/* The key with exactly this name, or NULL. */
const conf_key_t *conf_keys_find(const conf_table_t *table, str_t name);
/* "timeouts.head" -> "head": the name inside its section. */
const char *conf_keys_leaf(const conf_key_t *key);
/* Returns whether `key` is directly in the section `prefix` ("" for the top). */
bool conf_keys_in(const conf_key_t *key, str_t prefix);

/* Describes the allowed values as part of a sentence: "a duration from 10ms to 1h, such as 10s".
 * Returns `out`. */
#define CONF_ALLOWED_MAX 768
const char *conf_keys_allowed(const conf_key_t *key, char out[CONF_ALLOWED_MAX]);

/*
 * Suggests a key for an unknown name in the section `prefix`: the dotted name of a similar key, or
 * NULL. Keys of the same section come first, then a key of the same name in another section.
 */
const char *conf_keys_nearest(const conf_table_t *table, str_t prefix, str_t name);

/* The number of single-character changes (insert, delete, replace, swap of neighbours) between a
 * and b, each at most 64 bytes. Longer input counts as SIZE_MAX. */
size_t conf_keys_distance(str_t a, str_t b);

#endif
