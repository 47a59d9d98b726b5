#include "conf_tree.h"

#include <assert.h>
#include <stdlib.h>
#include <yaml.h>

typedef struct builder {
    const char *path;
    str_t source;
    conf_errors_t *errors;
    conf_node_t *root;
    conf_node_t *open[CONF_DEPTH_MAX]; /* the lists and maps that have begun and not ended */
    size_t depth;
    size_t nodes;
    bool have_name; /* a key was read; its value is next */
    str_t name;
    conf_place_t name_place;
} builder_t;

static conf_place_t place_of(yaml_mark_t mark)
{
    return (conf_place_t){(unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

static conf_node_t *node_new(conf_node_kind_t kind, conf_place_t place)
{
    conf_node_t *node = conf_alloc(1, sizeof(*node));
    node->kind = kind;
    node->place = place;
    return node;
}

/* Recurses at most CONF_DEPTH_MAX times. */
void conf_tree_free(conf_node_t **root)
{
    conf_node_t *node = *root;
    *root = NULL;
    if (node == NULL)
        return;
    for (size_t i = 0; i < node->count; i++)
        conf_tree_free(&node->children[i]);
    free(node->children);
    free((char *)node->text.p);
    free((char *)node->name.p);
    free(node);
}

const conf_node_t *conf_node_get(const conf_node_t *map, str_t name)
{
    size_t count = map != NULL && map->kind == CONF_NODE_MAP ? map->count : 0;
    for (size_t i = 0; i < count; i++)
        if (str_eq(map->children[i]->name, name))
            return map->children[i];
    return NULL;
}

bool conf_node_is_null(const conf_node_t *node)
{
    return node->kind == CONF_NODE_SCALAR && node->plain &&
           (node->text.n == 0 || str_eq(node->text, STR("~")) || str_eq(node->text, STR("null")));
}

/* Doubles the room when the count is a power of two, so that no capacity needs to be stored. */
static void append(conf_node_t *parent, conf_node_t *child)
{
    if ((parent->count & (parent->count - 1)) == 0) {
        size_t room = parent->count != 0 ? parent->count * 2 : 1;
        conf_node_t **children = realloc(parent->children, room * sizeof(*children));
        assert(children != NULL);
        parent->children = children;
    }
    parent->children[parent->count++] = child;
}

static void report(builder_t *b, conf_place_t place, const char *sentence)
{
    conf_errors_add(b->errors, CONF_ERROR, b->path, place, NULL, "%s", sentence);
}

/* Gives `node` the key that was read, and notes if the map already has that key. */
static void name_node(builder_t *b, const conf_node_t *map, conf_node_t *node)
{
    const conf_node_t *first = conf_node_get(map, b->name);
    node->name = b->name;
    node->name_place = b->name_place;
    b->name = str_make(NULL, 0);
    b->have_name = false;
    if (first != NULL)
        node->first_line = first->name_place.line;
}

/* Adds a node at the current position. Returns false, with the node freed, if reading must end. */
static bool place_node(builder_t *b, conf_node_t *node)
{
    conf_node_t *parent = b->depth != 0 ? b->open[b->depth - 1] : NULL;
    const char *problem = NULL;
    if (++b->nodes > CONF_NODES_MAX)
        problem = "too many values; at most 262144 are allowed";
    else if (parent != NULL && parent->kind == CONF_NODE_MAP && !b->have_name)
        problem = "a list or map cannot be a key; keys are words";
    else if (parent != NULL && parent->kind == CONF_NODE_MAP && parent->count == CONF_KEYS_MAX)
        problem = "too many keys in one map; at most 256 are allowed";
    else if (node->kind != CONF_NODE_SCALAR && b->depth == CONF_DEPTH_MAX)
        problem = "lists and maps are nested too deeply; at most 8 levels are allowed";
    if (problem != NULL) {
        report(b, node->place, problem);
        conf_tree_free(&node);
        return false;
    }
    if (parent == NULL) {
        assert(b->root == NULL);
        b->root = node;
    } else {
        if (parent->kind == CONF_NODE_MAP)
            name_node(b, parent, node);
        append(parent, node);
    }
    if (node->kind != CONF_NODE_SCALAR)
        b->open[b->depth++] = node;
    return true;
}

static void refuse_extras(builder_t *b, conf_place_t place, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor != NULL)
        report(b, place, "anchors are not supported; write the value out where it is needed");
    if (tag != NULL)
        report(b, place, "tags are not supported; write the plain value");
}

static bool take_scalar(builder_t *b, const yaml_event_t *event)
{
    conf_place_t place = place_of(event->start_mark);
    str_t text = str_make((const char *)event->data.scalar.value, event->data.scalar.length);
    refuse_extras(b, place, event->data.scalar.anchor, event->data.scalar.tag);
    bool in_map = b->depth != 0 && b->open[b->depth - 1]->kind == CONF_NODE_MAP;
    if (in_map && !b->have_name) {
        b->name = str_make(conf_copy(text), text.n);
        b->name_place = place;
        b->have_name = true;
        return true;
    }
    conf_node_t *node = node_new(CONF_NODE_SCALAR, place);
    node->text = str_make(conf_copy(text), text.n);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return place_node(b, node);
}

static bool take_alias(builder_t *b, const yaml_event_t *event)
{
    conf_place_t place = place_of(event->start_mark);
    report(b, place, "aliases are not supported; write the value out");
    conf_node_t *node = node_new(CONF_NODE_SCALAR, place);
    node->skip = true;
    return place_node(b, node);
}

/* Returns false if reading ends: at the end of the file, or if the rest cannot make sense. */
static bool take_event(builder_t *b, const yaml_event_t *event)
{
    conf_place_t place = place_of(event->start_mark);
    switch (event->type) {
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return true;
    case YAML_DOCUMENT_START_EVENT:
        if (b->root != NULL)
            report(b, place, "a second document begins here; a configuration is one document");
        return b->root == NULL;
    case YAML_SCALAR_EVENT:
        return take_scalar(b, event);
    case YAML_ALIAS_EVENT:
        return take_alias(b, event);
    case YAML_SEQUENCE_START_EVENT:
        refuse_extras(b, place, event->data.sequence_start.anchor, event->data.sequence_start.tag);
        return place_node(b, node_new(CONF_NODE_LIST, place));
    case YAML_MAPPING_START_EVENT:
        refuse_extras(b, place, event->data.mapping_start.anchor, event->data.mapping_start.tag);
        return place_node(b, node_new(CONF_NODE_MAP, place));
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        assert(b->depth != 0);
        b->depth--;
        return true;
    case YAML_NO_EVENT:
    case YAML_STREAM_END_EVENT:
        break;
    }
    return false;
}

/* Line and column of a byte; for a wrong encoding libyaml gives only the offset. */
static conf_place_t place_of_byte(str_t text, size_t offset)
{
    conf_place_t place = {1, 1};
    for (size_t i = 0; i < offset && i < text.n; i++) {
        place.column++;
        if (text.p[i] == '\n')
            place = (conf_place_t){place.line + 1, 1};
    }
    return place;
}

/* Returns whether a tab is in the white space that begins line `line`. */
static bool tab_indents(str_t text, unsigned line)
{
    const char *p = text.p;
    const char *end = text.p + text.n;
    while (--line != 0) {
        p = memchr(p, '\n', (size_t)(end - p));
        if (p == NULL)
            return false;
        p++;
    }
    while (p != end && *p == ' ')
        p++;
    return p != end && *p == '\t';
}

static void report_syntax(builder_t *b, const yaml_parser_t *parser)
{
    const char *problem = parser->problem != NULL ? parser->problem : "cannot be read";
    if (parser->error == YAML_READER_ERROR) {
        conf_errors_add(b->errors, CONF_ERROR, b->path, place_of_byte(b->source, parser->problem_offset),
                        NULL, "not valid YAML: %s (files are UTF-8 text)", problem);
        return;
    }
    conf_place_t place = place_of(parser->problem_mark);
    conf_place_t end = place_of_byte(b->source, b->source.n);
    if (place.line > end.line)
        place = end; /* libyaml reports the end of a file on a separate line */
    if (tab_indents(b->source, place.line))
        conf_errors_add(b->errors, CONF_ERROR, b->path, place, NULL,
                        "not valid YAML: a tab cannot indent a line; use spaces");
    else if (parser->context != NULL)
        conf_errors_add(b->errors, CONF_ERROR, b->path, place, NULL, "not valid YAML: %s (%s in line %zu)",
                        problem, parser->context,
                        parser->context_mark.line < end.line ? parser->context_mark.line + 1 : end.line);
    else
        conf_errors_add(b->errors, CONF_ERROR, b->path, place, NULL, "not valid YAML: %s", problem);
}

static void read_events(builder_t *b, yaml_parser_t *parser)
{
    bool more = true;
    while (more) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) {
            report_syntax(b, parser);
            return;
        }
        more = take_event(b, &event);
        yaml_event_delete(&event);
    }
}

/* An empty map that stands for an unread file. */
static conf_node_t *unread_root(void)
{
    conf_node_t *root = node_new(CONF_NODE_MAP, (conf_place_t){1, 1});
    root->cut = true;
    return root;
}

/*
 * Refuses text that libyaml must not see. libyaml compares each %TAG with all before it: a megabyte
 * of them takes ten seconds. No value needs these four characters, so they are refused at any
 * position.
 */
static bool refuse_before_reading(builder_t *b)
{
    const char *tag = b->source.n != 0 ? memmem(b->source.p, b->source.n, "%TAG", 4) : NULL;
    if (b->source.n > CONF_FILE_MAX)
        report(b, (conf_place_t){0, 0}, "is larger than 1 MiB, the largest that is allowed");
    else if (tag != NULL)
        report(b, place_of_byte(b->source, (size_t)(tag - b->source.p)),
               "%TAG is not supported; write plain values");
    return b->source.n > CONF_FILE_MAX || tag != NULL;
}

conf_node_t *conf_tree_parse(const char *path, str_t text, conf_errors_t *errors)
{
    builder_t b = {.path = path, .source = text, .errors = errors};
    if (refuse_before_reading(&b))
        return unread_root();
    yaml_parser_t parser;
    int made = yaml_parser_initialize(&parser);
    assert(made);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.n != 0 ? text.p : ""), text.n);
    size_t errors_before = conf_errors_count(errors);
    read_events(&b, &parser);
    yaml_parser_delete(&parser);
    free((char *)b.name.p);

    for (size_t i = 0; i < b.depth; i++)
        b.open[i]->cut = true;
    bool failed = conf_errors_count(errors) != errors_before;
    if (b.root == NULL || conf_node_is_null(b.root)) { /* an empty file: missing keys are reported later */
        conf_tree_free(&b.root);
        b.root = node_new(CONF_NODE_MAP, (conf_place_t){1, 1});
        b.root->cut = failed;
    } else if (b.root->kind != CONF_NODE_MAP) {
        report(&b, b.root->place, "the file must be a map of keys, such as \"preview_domain: ...\"");
        conf_tree_free(&b.root);
        b.root = unread_root();
    }
    return b.root;
}
