/*
 * See conf_redact.h.
 */
#include "conf_redact.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "conf_bind.h"

typedef struct redaction {
    FILE *out;
    conf_removed_t removed;
    void *arg;
} redaction_t;

/* Where a map is in the key table. `table` NULL: below a key that does not exist. */
typedef struct spot {
    const conf_table_t *table;
    str_t section;
} spot_t;

bool conf_needs_mark(conf_type_t type)
{
    switch (type) {
    case CONF_SECTION:
    case CONF_UINT:
    case CONF_BOOL:
    case CONF_FRACTION:
    case CONF_DURATION:
    case CONF_SIZE:
    case CONF_METHOD:
    case CONF_RATE:
    case CONF_CHOICE:
    case CONF_LISTENER_KIND:
    case CONF_ADDRESS:
    case CONF_BOX_ADDRESS:
    case CONF_IDLE_ACTION:
    case CONF_NETWORK:
    case CONF_NETWORKS:
    case CONF_PORTS:
    case CONF_FIELDS:
    case CONF_MAPS:
        return false;
    default:
        return true;
    }
}

/* ---- scalars ---- */

/* In double quotes, as YAML and JSON read them. */
static void print_quoted(const redaction_t *r, str_t text)
{
    fputc('"', r->out);
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '"' || c == '\\')
            fprintf(r->out, "\\%c", c);
        else if (c < ' ' || c == 0x7f)
            fprintf(r->out, "\\x%02x", c);
        else
            fputc(c, r->out);
    }
    fputs("\"", r->out);
}

static void print_removed(const redaction_t *r, str_t text)
{
    if (text.n > 0)
        r->removed(r->arg, text);
    print_quoted(r, STR(CONF_REMOVED));
}

static bool names_a_file(str_t path)
{
    char *copy = conf_copy(path);
    bool there = path.n > 0 && path.p[0] == '/' && strlen(copy) == path.n && access(copy, F_OK) == 0;
    free(copy);
    return there;
}

static bool is_shown(const conf_key_t *key, str_t text, bool item)
{
    if (key == NULL || !(item ? conf_bind_allows_item(key, text) : conf_bind_allows(key, text)))
        return false;
    if (!conf_needs_mark(key->type) || key->secrecy == CONF_OPEN)
        return true;
    return key->secrecy == CONF_SECRET_FILE && (text.n == 0 || names_a_file(text));
}

/* The name of a variable is shown, its value is not. */
static void print_variable(const redaction_t *r, str_t text)
{
    const char *equals = memchr(text.p, '=', text.n);
    if (equals == NULL) {
        print_removed(r, text);
        return;
    }
    size_t name = (size_t)(equals - text.p) + 1;
    str_t value = str_from_offset(text, name);
    if (value.n > 0)
        r->removed(r->arg, value);
    char *shown = conf_alloc(name + sizeof(CONF_REMOVED), 1);
    memcpy(shown, text.p, name);
    memcpy(shown + name, CONF_REMOVED, sizeof(CONF_REMOVED));
    print_quoted(r, str_from(shown));
    free(shown);
}

/* `item`: an element of a list of scalars; `first`: the program of a command that has arguments. */
static void print_scalar(const redaction_t *r, const conf_key_t *key, const conf_node_t *node, bool item,
                         bool first)
{
    if (conf_node_is_null(node))
        return;
    if (item && key != NULL && key->type == CONF_ENVIRONMENT)
        print_variable(r, node->text);
    else if (is_shown(key, node->text, item) || (first && node->text.n > 0 && node->text.p[0] == '/'))
        print_quoted(r, node->text);
    else
        print_removed(r, node->text);
}

/* ---- lists and maps ---- */

static void indent(const redaction_t *r, unsigned depth)
{
    fprintf(r->out, "\n%*s", (int)(2 * depth), "");
}

static void print_map(const redaction_t *r, const spot_t *spot, const conf_node_t *map, unsigned depth);

/* An element of a list. */
static void print_element(const redaction_t *r, const conf_key_t *key, const conf_node_t *node, bool first,
                          unsigned depth)
{
    bool maps = key != NULL && key->type == CONF_MAPS;
    const spot_t inner = {.table = maps ? key->element : NULL, .section = STR("")};
    if (node->kind == CONF_NODE_MAP)
        print_map(r, &inner, node, depth);
    else if (node->kind == CONF_NODE_SCALAR && maps && key->scalars)
        print_scalar(r, &key->element->keys[0], node, false, false);
    else if (node->kind == CONF_NODE_SCALAR)
        print_scalar(r, maps ? NULL : key, node, true, first);
    else
        print_map(r, &(spot_t){.table = NULL}, node, depth);
}

static void print_list(const redaction_t *r, const conf_key_t *key, const conf_node_t *list, unsigned depth)
{
    if (list->count == 0)
        fputs("[]", r->out);
    for (size_t i = 0; i < list->count; i++) {
        bool program = key != NULL && key->type == CONF_COMMAND && i == 0 && list->count > 1;
        indent(r, depth);
        fputs("- ", r->out);
        print_element(r, key, list->children[i], program, depth + 1);
    }
}

static void print_value(const redaction_t *r, const spot_t *spot, const conf_node_t *node, unsigned depth)
{
    const conf_key_t *key =
        spot->table != NULL ? conf_bind_find(spot->table, spot->section, node->name) : NULL;
    bool list = key != NULL && conf_bind_is_list(key->type);
    bool section = key != NULL && key->type == CONF_SECTION;
    if (node->kind == CONF_NODE_MAP) {
        spot_t inner = {.table = section ? spot->table : NULL, .section = STR("")};
        if (section)
            inner.section = str_from(key->name);
        print_map(r, &inner, node, depth + 1);
    } else if (node->kind == CONF_NODE_LIST) {
        print_list(r, list ? key : NULL, node, depth + 1);
    } else {
        print_scalar(r, list || section ? NULL : key, node, false, false);
    }
}

/* Recurses at most CONF_DEPTH_MAX times. A list without a key counts as a map of nothing known. */
static void print_map(const redaction_t *r, const spot_t *spot, const conf_node_t *map, unsigned depth)
{
    if (map->kind == CONF_NODE_LIST) {
        print_list(r, NULL, map, depth);
        return;
    }
    if (map->count == 0)
        fputs("{}", r->out);
    for (size_t i = 0; i < map->count; i++) {
        if (i > 0 || depth > 0)
            indent(r, depth);
        print_quoted(r, map->children[i]->name);
        fputs(": ", r->out);
        print_value(r, spot, map->children[i], depth);
    }
}

/* ---- the whole ---- */

static bool is_cut(const conf_node_t *node)
{
    bool cut = node->cut;
    for (size_t i = 0; i < node->count && !cut; i++)
        cut = is_cut(node->children[i]);
    return cut;
}

bool conf_redact(str_t text, FILE *out, conf_removed_t removed, void *arg)
{
    const redaction_t r = {.out = out, .removed = removed, .arg = arg};
    const spot_t top = {.table = &conf_keys, .section = STR("")};
    conf_errors_t *errors = conf_errors_new();
    conf_node_t *root = conf_tree_parse("", text, errors);
    bool whole = !is_cut(root);
    print_map(&r, &top, root, 0);
    fputc('\n', out);
    conf_tree_free(&root);
    conf_errors_free(&errors);
    return whole;
}

bool conf_redact_file(const char *path, FILE *out, conf_removed_t removed, void *arg)
{
    char *bytes = conf_alloc(CONF_FILE_MAX + 1, 1);
    size_t len = 0;
    bool whole = false;
    errno = 0;
    if (conf_read_file(path, bytes, &len)) {
        whole = len <= CONF_FILE_MAX && conf_redact(str_make(bytes, len), out, removed, arg);
        errno = 0;
    }
    free(bytes);
    return whole;
}
