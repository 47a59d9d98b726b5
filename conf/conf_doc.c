/* The key table as pages for people: the reference in Markdown, and a commented file with every
 * default. */
#include "conf_keys.h"

static void print_row(const conf_key_t *key, FILE *out)
{
    char allowed[CONF_ALLOWED_MAX];
    fprintf(out, "| `%s` | %s | ", key->name, conf_keys_allowed(key, allowed));
    if (key->required)
        fprintf(out, "required");
    else if (key->derived != NULL)
        fprintf(out, "%s", key->derived);
    else
        fprintf(out, "`%s`", key->fallback);
    fprintf(out, " | %s |\n", key->doc);
}

static void print_rows(const conf_table_t *table, str_t section, FILE *out)
{
    fprintf(out, "\n| key | allowed | default | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < table->count; i++)
        if (conf_keys_in(&table->keys[i], section) && table->keys[i].type != CONF_SECTION)
            print_row(&table->keys[i], out);
}

/* Lists of maps inside the maps of a list. */
static void print_inner(const conf_key_t *list, FILE *out)
{
    for (size_t i = 0; i < list->element->count; i++) {
        const conf_key_t *key = &list->element->keys[i];
        if (key->type != CONF_MAPS)
            continue;
        fprintf(out, "\n### `%s` of `%s`\n\n%s\n", key->name, list->name, key->doc);
        print_rows(key->element, STR(""), out);
    }
}

void conf_print_reference(FILE *out)
{
    fprintf(
        out,
        "# Configuration\n"
        "\n"
        "This page is generated from the key table: `boxedge check --print-reference`.\n"
        "`boxedge check --print-default` prints a file with every key and its default.\n"
        "\n"
        "The configuration is one YAML file (UTF-8, at most 1 MiB) without anchors, aliases and tags.\n"
        "`boxedge check -c FILE` lists all its errors, one per line, as\n"
        "`file:line:column: key: error; allowed: values`, and exits with 1 if there was an error.\n"
        "The edge refuses to reload a file with errors and keeps its configuration.\n"
        "\n"
        "- Durations are a whole number and `ms`, `s`, `m`, `h` or `d`: `500ms`, `15m`.\n"
        "- Sizes are a whole number of bytes, or one with `KiB`, `MiB`, `GiB` or `TiB`: `32KiB`.\n"
        "- Addresses are numeric, and IPv6 stands in brackets: `127.0.0.1:8443`, `\"[::]:443\"`. YAML needs\n"
        "  quotes around a value that begins with a bracket.\n"
        "- Relative paths are relative to the directory of the file.\n"
        "- A key that is given without a value is an error; leave it out for its default.\n"
        "\n"
        "## The file\n");
    print_rows(&conf_keys, STR(""), out);
    for (size_t i = 0; i < conf_keys.count; i++) {
        const conf_key_t *key = &conf_keys.keys[i];
        if (key->type != CONF_SECTION && key->type != CONF_MAPS)
            continue;
        fprintf(out, "\n## `%s`\n\n%s", key->name, key->doc);
        if (key->type == CONF_MAPS)
            fprintf(out, " Each element is a map with these keys; an example:\n\n```yaml\n%s: %s\n```\n",
                    key->name, key->example);
        else
            fprintf(out, "\n");
        print_rows(key->type == CONF_MAPS ? key->element : &conf_keys,
                   str_from(key->type == CONF_MAPS ? "" : key->name), out);
        if (key->type == CONF_MAPS)
            print_inner(key, out);
    }
}

/* One sentence as comment lines of at most 100 characters. */
static void print_comment(const char *indent, const char *text, FILE *out)
{
    str_t rest = str_from(text);
    while (rest.n != 0) {
        size_t n = rest.n;
        for (size_t space = n; n > 96 && space-- > 0;)
            if (space <= 96 && rest.p[space] == ' ') {
                n = space;
                break;
            }
        fprintf(out, "%s# %.*s\n", indent, (int)n, rest.p);
        rest = str_from_offset(rest, n < rest.n ? n + 1 : n);
    }
}

static void print_key(const conf_key_t *key, FILE *out)
{
    const char *leaf = conf_keys_leaf(key);
    const char *indent = leaf != key->name ? "  " : "";
    char allowed[CONF_ALLOWED_MAX], line[CONF_ALLOWED_MAX + 16];
    fprintf(out, "\n");
    print_comment(indent, key->doc, out);
    if (key->type == CONF_SECTION) {
        fprintf(out, "%s:\n", leaf);
        return;
    }
    snprintf(line, sizeof(line), "Allowed: %s.", conf_keys_allowed(key, allowed));
    print_comment(indent, line, out);
    if (key->derived != NULL)
        fprintf(out, "%s# Default: %s.\n", indent, key->derived);
    fprintf(out, "%s%s%s: %s\n", indent, key->derived != NULL ? "# " : "", leaf,
            key->fallback != NULL ? key->fallback : key->example);
}

void conf_print_default(FILE *out)
{
    fprintf(
        out,
        "# The configuration of boxedge, with every key. All values outside comments are defaults, except\n"
        "# preview_domain and listeners.\n");
    for (size_t i = 0; i < conf_keys.count; i++)
        print_key(&conf_keys.keys[i], out);
}
