/*
 * A YAML file as a tree of scalars, lists and maps with their positions. Only this module uses
 * libyaml. It refuses YAML features that a configuration must not use: anchors and aliases (which
 * can make a small file expand without end), tags, several documents, and keys that are not words.
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
    bool skip;               /* its error was reported: ignore it, but do not report it as missing */
    unsigned first_line;     /* if not 0: the same map has its key already, in that line */
    bool cut;                /* a list or map in which an error stopped the reading: more may have followed */
    str_t text;              /* of a scalar; terminated by NUL, and may contain others */
    str_t name;              /* its key, if it is in a map */
    conf_place_t name_place; /* of that key */
    conf_node_t **children;
    size_t count;
};

/*
 * Never NULL. If `text` is no map of keys, adds errors and returns an empty map that is `cut`. The
 * caller owns the result.
 */
conf_node_t *conf_tree_parse(const char *path, str_t text, conf_errors_t *errors);
void conf_tree_free(conf_node_t **root);

/* The child of a map by name. NULL: it has none, or `map` is NULL or another kind of node. */
const conf_node_t *conf_node_get(const conf_node_t *map, str_t name);
/* A key without a value, `~` or `null`. */
bool conf_node_is_null(const conf_node_t *node);

#endif
