#include "conf_bind.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf_log.h"
#include "conf_net.h"
#include "conf_value.h"

#define NAME_SHOWN_MAX 256

typedef struct binder {
    const char *path;
    char *dir; /* of the file: the base of relative paths */
    conf_errors_t *errors;
} binder_t;

/* The binder's position in the file: a section ("timeouts"), an element ("listeners[1]"), or "" at
 * the top. */
typedef struct scope {
    const conf_table_t *table;
    str_t section;    /* inside the table */
    const char *list; /* the element's printed name, "" in the file's own table */
    void *base;       /* of the fields: the conf_t or the element */
} scope_t;

static const char *shown_name(const scope_t *scope, str_t name, char out[NAME_SHOWN_MAX])
{
    char shown[CONF_SHOWN_MAX + 4];
    snprintf(out, NAME_SHOWN_MAX, "%s%s%.*s%s%s", scope->list, scope->list[0] != '\0' ? "." : "",
             STR_ARG(scope->section), scope->section.n != 0 ? "." : "", conf_shown(name, shown));
    return out;
}

#define KNOWN_MAX 512
/* "address, kind": the keys of a scope, cut to the available room. */
static const char *list_known(const scope_t *scope, char out[KNOWN_MAX])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < scope->table->count && used < KNOWN_MAX; i++)
        if (conf_keys_in(&scope->table->keys[i], scope->section))
            used += (size_t)snprintf(out + used, KNOWN_MAX - used, "%s%s", used != 0 ? ", " : "",
                                     conf_keys_leaf(&scope->table->keys[i]));
    return out;
}

static const char *kind_name(const conf_node_t *node)
{
    if (conf_node_is_null(node))
        return "has no value";
    return node->kind == CONF_NODE_LIST  ? "is a list"
           : node->kind == CONF_NODE_MAP ? "is a map"
                                         : "is a single value";
}

/* "is a list; allowed: a path" */
static void wrong_kind(const binder_t *b, const conf_key_t *key, const char *name, const conf_node_t *node)
{
    char allowed[CONF_ALLOWED_MAX];
    conf_errors_add(b->errors, CONF_ERROR, b->path, node->place, name, "%s; allowed: %s%s", kind_name(node),
                    conf_keys_allowed(key, allowed),
                    conf_node_is_null(node) && !key->required ? " (leave the key out for its default)" : "");
}

static void *field_of(const conf_key_t *key, void *base)
{
    return (char *)base + key->offset;
}

static void bind_scalar(const binder_t *b, const conf_key_t *key, const char *name, const conf_node_t *node,
                        void *base)
{
    if (node->kind != CONF_NODE_SCALAR || conf_node_is_null(node)) {
        wrong_kind(b, key, name, node);
        return;
    }
    const char *why = conf_value_set(key, node->text, b->dir, field_of(key, base));
    if (why == NULL)
        return;
    char shown[CONF_SHOWN_MAX + 4];
    char allowed[CONF_ALLOWED_MAX];
    conf_errors_add(b->errors, CONF_ERROR, b->path, node->place, name, "\"%s\" %s; allowed: %s",
                    conf_shown(node->text, shown), why, conf_keys_allowed(key, allowed));
}

/* Checks the bounds of a list's length; a list that is too long is not read at all. */
static bool length_allowed(const binder_t *b, const conf_key_t *key, const char *name,
                           const conf_node_t *list)
{
    if (list->count <= key->max && (list->count >= key->min || list->cut))
        return true;
    char allowed[CONF_ALLOWED_MAX];
    conf_errors_add(b->errors, CONF_ERROR, b->path, list->place, name, "has %zu elements; allowed: %s",
                    list->count, conf_keys_allowed(key, allowed));
    return false;
}

#define ELEMENT_SHOWN_MAX 96
/* "listeners[1]", "processes[0].ports[2]". */
static const char *element_name(const char *list, size_t i, char out[ELEMENT_SHOWN_MAX])
{
    snprintf(out, ELEMENT_SHOWN_MAX, "%.72s[%zu]", list, i);
    return out;
}

/* Sets an element of a list that is neither a map nor a network. */
static const char *set_item(const conf_key_t *key, str_t text, char *elements, size_t i)
{
    uint64_t port;
    if (key->type == CONF_PORTS) {
        uint16_t *ports = (uint16_t *)(void *)elements;
        if (!str_to_uint(text, 65535, &port) || port == 0)
            return "is not a port";
        for (size_t j = 0; j < i; j++)
            if (ports[j] == port)
                return "is given twice";
        ports[i] = (uint16_t)port;
        return NULL;
    }
    if (key->type == CONF_HOSTS) {
        char lower[CONF_HOST_MAX + 1], **hosts = (char **)(void *)elements;
        const char *wrong = conf_value_host(text, lower);
        for (size_t j = 0; wrong == NULL && j < i; j++)
            if (hosts[j] != NULL && strcmp(hosts[j], lower) == 0)
                wrong = "is given twice";
        if (wrong == NULL)
            hosts[i] = conf_copy(str_from(lower));
        return wrong;
    }
    if (key->type == CONF_FIELDS)
        return conf_log_set_field(text, (uint8_t *)(void *)elements, i);
    const char *why = key->type == CONF_ENVIRONMENT ? conf_value_variable(text) : conf_value_string(text);
    if (why == NULL)
        ((char **)(void *)elements)[i] = conf_copy(text);
    return why;
}

static void bind_item(const binder_t *b, const conf_key_t *key, const char *name, const conf_node_t *node,
                      char *elements, size_t i)
{
    if (node->kind != CONF_NODE_SCALAR || (conf_node_is_null(node) && key->type != CONF_COMMAND)) {
        wrong_kind(b, key, name, node);
        return;
    }
    const char *why = set_item(key, node->text, elements, i);
    char shown[CONF_SHOWN_MAX + 4];
    char allowed[CONF_ALLOWED_MAX];
    if (why != NULL)
        conf_errors_add(b->errors, CONF_ERROR, b->path, node->place, name, "\"%s\" %s; allowed: %s",
                        conf_shown(node->text, shown), why, conf_keys_allowed(key, allowed));
}

static void bind_network(const binder_t *b, const char *name, const conf_node_t *node,
                         conf_network_t *network)
{
    bool scalar = node->kind == CONF_NODE_SCALAR;
    const char *why = scalar ? conf_net_read_network(node->text, network) : kind_name(node);
    if (why == NULL)
        return;
    network->bits = CONF_NETWORK_UNREAD;
    char shown[CONF_SHOWN_MAX + 4];
    conf_errors_add(b->errors, CONF_ERROR, b->path, node->place, name,
                    "%s%s%s%s; allowed: a network such as 10.0.0.0/8 or fd00::/8", scalar ? "\"" : "",
                    conf_shown(node->text, shown), scalar ? "\" " : "", why);
}

static void bind_map(const binder_t *b, const scope_t *scope, const conf_node_t *map);

static void set_defaults(const binder_t *b, const conf_table_t *table, void *base)
{
    for (size_t i = 0; i < table->count; i++) {
        const conf_key_t *key = &table->keys[i];
        if (key->fallback == NULL)
            continue;
        const char *why = conf_value_set(key, str_from(key->fallback), b->dir, field_of(key, base));
        assert(why == NULL);
    }
}

static void bind_element(const binder_t *b, const conf_key_t *key, const char *name, const conf_node_t *node,
                         void *element)
{
    scope_t scope = {key->element, str_make("", 0), name, element};
    set_defaults(b, key->element, element);
    if (node->kind == CONF_NODE_MAP) {
        bind_map(b, &scope, node);
        return;
    }
    if (key->scalars && node->kind == CONF_NODE_SCALAR && !conf_node_is_null(node)) {
        bind_scalar(b, &key->element->keys[0], name, node, element);
        return;
    }
    char known[KNOWN_MAX];
    conf_errors_add(b->errors, CONF_ERROR, b->path, node->place, name, "%s; allowed: a map with the keys %s",
                    kind_name(node), list_known(&scope, known));
}

/* Allocates zeroed elements of a list and stores them in its field. */
static char *new_elements(const conf_key_t *key, void *base, size_t count)
{
    char *elements = conf_alloc(count, key->element_size);
    memcpy(field_of(key, base), &elements, sizeof(elements));
    memcpy((char *)base + key->count_offset, &count, sizeof(count));
    return elements;
}

static void bind_list(const binder_t *b, const conf_key_t *key, const char *name, const conf_node_t *list,
                      void *base)
{
    if (conf_node_is_null(list) && key->min == 0)
        return; /* a list without elements */
    if (key->type == CONF_COMMAND && list->kind == CONF_NODE_SCALAR && !conf_node_is_null(list)) {
        bind_item(b, key, name, list, new_elements(key, base, 1), 0);
        return;
    }
    if (list->kind != CONF_NODE_LIST) {
        wrong_kind(b, key, name, list);
        return;
    }
    if (!length_allowed(b, key, name, list))
        return;
    char *elements = new_elements(key, base, list->count);
    for (size_t i = 0; i < list->count; i++) {
        const conf_node_t *node = list->children[i];
        char element[ELEMENT_SHOWN_MAX];
        element_name(name, i, element);
        if (node->skip)
            continue;
        if (key->type == CONF_NETWORKS)
            bind_network(b, element, node, (conf_network_t *)(void *)elements + i);
        else if (key->type != CONF_MAPS)
            bind_item(b, key, element, node, elements, i);
        else
            bind_element(b, key, element, node, elements + i * key->element_size);
    }
}

static void bind_section(const binder_t *b, const scope_t *scope, const conf_key_t *key, const char *name,
                         const conf_node_t *node)
{
    if (conf_node_is_null(node))
        return; /* a section in which every line is a comment */
    if (node->kind != CONF_NODE_MAP) {
        wrong_kind(b, key, name, node);
        return;
    }
    scope_t inner = *scope;
    inner.section = str_from(key->name);
    bind_map(b, &inner, node);
}

static void report_unknown(const binder_t *b, const scope_t *scope, const char *name, const conf_node_t *node)
{
    const char *nearest = conf_keys_nearest(scope->table, scope->section, node->name);
    char known[KNOWN_MAX];
    if (nearest == NULL)
        conf_errors_add(b->errors, CONF_ERROR, b->path, node->name_place, name,
                        "is not a known key; allowed here: %s", list_known(scope, known));
    else if (strchr(nearest, '.') != NULL && str_eq(node->name, str_from(nearest)))
        conf_errors_add(b->errors, CONF_ERROR, b->path, node->name_place, name,
                        "is written as a map in a map (%.*s: {%s: ...}), not as a name with a dot",
                        (int)(strchr(nearest, '.') - nearest), nearest, strchr(nearest, '.') + 1);
    else
        conf_errors_add(b->errors, CONF_ERROR, b->path, node->name_place, name,
                        "is not a known key; did you mean %s%s%s?", scope->list,
                        scope->list[0] != '\0' ? "." : "", nearest);
}

const conf_key_t *conf_bind_find(const conf_table_t *table, str_t section, str_t name)
{
    for (size_t i = 0; i < table->count; i++) {
        const conf_key_t *key = &table->keys[i];
        if (conf_keys_in(key, section) && str_eq(str_from(conf_keys_leaf(key)), name))
            return key;
    }
    return NULL;
}

static void report_missing(const binder_t *b, const scope_t *scope, const conf_node_t *map)
{
    for (size_t i = 0; i < scope->table->count; i++) {
        const conf_key_t *key = &scope->table->keys[i];
        if (!key->required || !conf_keys_in(key, scope->section))
            continue;
        str_t leaf = str_from(conf_keys_leaf(key));
        if (conf_node_get(map, leaf) != NULL)
            continue;
        char name[NAME_SHOWN_MAX];
        char allowed[CONF_ALLOWED_MAX];
        conf_errors_add(b->errors, CONF_ERROR, b->path, map->place, shown_name(scope, leaf, name),
                        "is missing; needed: %s", conf_keys_allowed(key, allowed));
    }
}

bool conf_bind_is_list(conf_type_t type)
{
    return type == CONF_MAPS || type == CONF_NETWORKS || type == CONF_COMMAND || type == CONF_ENVIRONMENT ||
           type == CONF_PORTS || type == CONF_HOSTS || type == CONF_FIELDS;
}

/* Recurses only into sections and elements, whose depth the key table bounds. */
static void bind_map(const binder_t *b, const scope_t *scope, const conf_node_t *map)
{
    for (size_t i = 0; i < map->count; i++) {
        const conf_node_t *node = map->children[i];
        char name[NAME_SHOWN_MAX];
        shown_name(scope, node->name, name);
        const conf_key_t *key = conf_bind_find(scope->table, scope->section, node->name);
        if (node->skip)
            continue;
        if (node->first_line != 0)
            conf_errors_add(b->errors, CONF_ERROR, b->path, node->name_place, name,
                            "is given twice, first in line %u; give it once", node->first_line);
        else if (key == NULL)
            report_unknown(b, scope, name, node);
        else if (key->type == CONF_SECTION)
            bind_section(b, scope, key, name, node);
        else if (conf_bind_is_list(key->type))
            bind_list(b, key, name, node, scope->base);
        else
            bind_scalar(b, key, name, node, scope->base);
    }
    if (!map->cut)
        report_missing(b, scope, map);
}

char *conf_dir_of(const char *source, const char *cwd)
{
    const char *slash = strrchr(source, '/');
    if (slash == source)
        return conf_copy(STR("/"));
    str_t dir = slash != NULL ? str_make(source, (size_t)(slash - source)) : STR(".");
    if (dir.p[0] == '/')
        return conf_copy(dir);
    if (str_eq(dir, STR(".")))
        return conf_copy(cwd[0] != '\0' ? str_from(cwd) : dir);
    size_t room = strlen(cwd) + 1 + dir.n + 1;
    char *path = conf_alloc(room, 1);
    const char *slash_or_none = cwd[0] == '\0' || strcmp(cwd, "/") == 0 ? "" : "/";
    snprintf(path, room, "%s%s%.*s", cwd, slash_or_none, STR_ARG(dir));
    return path;
}

void conf_bind(conf_t *conf, const conf_node_t *root, const char *cwd, conf_errors_t *errors)
{
    binder_t b = {.path = conf->source, .errors = errors, .dir = conf_dir_of(conf->source, cwd)};
    scope_t top = {&conf_keys, str_make("", 0), "", conf};
    set_defaults(&b, &conf_keys, conf);
    bind_map(&b, &top, root);
    free(b.dir);
}

static bool is_string(conf_type_t type)
{
    return type == CONF_PATH || type == CONF_NO_PATH || type == CONF_URL || type == CONF_WORD ||
           type == CONF_LOG || type == CONF_NODE || type == CONF_USER || type == CONF_DOMAIN ||
           type == CONF_PATTERN || type == CONF_ORIGIN || type == CONF_NO_TARGET || type == CONF_NO_DOMAIN ||
           type == CONF_NO_NAME || type == CONF_SERVER; /* its host is the first member */
}

static void free_fields(const conf_table_t *table, char *base)
{
    for (size_t i = 0; i < table->count; i++) {
        const conf_key_t *key = &table->keys[i];
        bool list = conf_bind_is_list(key->type);
        if (!list && !is_string(key->type))
            continue;
        char *value;
        size_t count = 0;
        memcpy(&value, base + key->offset, sizeof(value));
        if (list)
            memcpy(&count, base + key->count_offset, sizeof(count));
        for (size_t j = 0; key->type == CONF_MAPS && j < count; j++)
            free_fields(key->element, value + j * key->element_size);
        bool strings = key->type == CONF_COMMAND || key->type == CONF_ENVIRONMENT || key->type == CONF_HOSTS;
        for (size_t j = 0; strings && j < count; j++)
            free(((char **)(void *)value)[j]);
        free(value);
    }
}

void conf_unbind(conf_t *conf)
{
    free_fields(&conf_keys, (char *)conf);
}

/* ---- single values ---- */

bool conf_bind_allows(const conf_key_t *key, str_t text)
{
    if (key->type == CONF_SECTION || conf_bind_is_list(key->type))
        return false;
    void *field = conf_alloc(1, key->width);
    bool allowed = conf_value_set(key, text, "/", field) == NULL;
    char *value;
    if (is_string(key->type)) {
        memcpy(&value, field, sizeof(value));
        free(value);
    }
    free(field);
    return allowed;
}

bool conf_bind_allows_item(const conf_key_t *key, str_t text)
{
    uint64_t port;
    conf_network_t network;
    char lower[CONF_HOST_MAX + 1];
    switch (key->type) {
    case CONF_PORTS:
        return str_to_uint(text, 65535, &port);
    case CONF_HOSTS:
        return conf_value_host(text, lower) == NULL;
    case CONF_NETWORKS:
        return conf_net_read_network(text, &network) == NULL;
    case CONF_FIELDS:
        return access_field_find(text, ACCESS_FIELD_TIME) != ACCESS_FIELD_COUNT;
    default:
        return false;
    }
}
