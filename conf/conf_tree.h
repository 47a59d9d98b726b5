/*
 * A YAML file as a tree of scalars, lists and maps that know where they stand. This is the only file that
 * knows libyaml. What has no place in a configuration is refused here: anchors and aliases (which can make a
 * small file expand without end), tags, several documents, keys that are not words.
 */
#ifndef BOXEDGE_CONF_TREE_H
#define BOXEDGE_CONF_TREE_H

#include "conf_errors.h"

#define CONF_FILE_MAX  (1024 * 1024) /* bytes of a file */
#define CONF_DEPTH_MAX 8             /* nested lists and maps */
#define CONF_NODES_MAX 262144        /* scalars, lists and maps in a file */
#define CONF_KEYS_MAX  256           /* keys of one map */

typedef enum conf_node_kind {
    CONF_NODE_SCALAR,
    CONF_NODE_LIST,
    CONF_NODE_MAP,
} conf_node_kind_t;

typedef struct conf_node conf_node_t;

struct conf_node {
    conf_node_kind_t kind;
    conf_place_t place;
    bool plain;              /* a scalar without quotes */
    bool skip;               /* an error was reported for it: neither to be looked at nor missing */
    unsigned first_line;     /* not 0: its key was given before in the same map, in that line */
    bool cut;                /* a list or map in which reading ended at an error: more may have followed */
    str_t text;              /* of a scalar; terminated by NUL, and may hold others */
    str_t name;              /* its key, where it lies in a map */
    conf_place_t name_place; /* of that key */
    conf_node_t **children;
    size_t count;
};

/*
 * Never NULL: where `text` is no map of keys the errors say so, and an empty map that is `cut` is returned.
 * The caller owns it.
 */
conf_node_t *conf_tree_parse(const char *path, str_t text, conf_errors_t *errors);
void conf_tree_free(conf_node_t **root);

/* The child of a map by name, NULL where there is none. */
const conf_node_t *conf_node_get(const conf_node_t *map, str_t name);
/* A key without a value, `~` or `null`. */
bool conf_node_is_null(const conf_node_t *node);

#endif
