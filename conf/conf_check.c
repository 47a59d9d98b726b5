#include "conf_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "conf_net.h"

typedef struct checker {
    const conf_t *conf;
    const conf_node_t *root;
    conf_errors_t *errors;
} checker_t;

/* Where a key's value stands; where it is not in the file, where the map begins that it should be in. */
static conf_place_t place_in(const conf_node_t *map, const char *name)
{
    const conf_node_t *node = map->kind == CONF_NODE_MAP ? conf_node_get(map, str_from(name)) : NULL;
    return node != NULL ? node->place : map->place;
}

static conf_place_t place_in_element(const checker_t *c, const char *list, size_t i, const char *name)
{
    const conf_node_t *node = conf_node_get(c->root, str_from(list));
    return place_in(node->children[i], name);
}

/* An error in the key `name` of the element `i` of `list`. */
static void report_element(const checker_t *c, const char *list, size_t i, const char *name,
                           const char *sentence)
{
    char key[96];
    snprintf(key, sizeof(key), "%.32s[%zu].%.32s", list, i, name);
    conf_errors_add(c->errors, CONF_ERROR, c->conf->source, place_in_element(c, list, i, name), key, "%s",
                    sentence);
}

#define REPORT(c, level, place, key, ...)                                                                    \
    conf_errors_add((c)->errors, (level), (c)->conf->source, (place), (key), __VA_ARGS__)

static void check_listener(const checker_t *c, size_t i)
{
    const conf_listener_t *listener = &c->conf->listeners[i];
    for (size_t j = 0; j < i; j++) {
        const conf_listener_t *other = &c->conf->listeners[j];
        if (other->address.len == 0 || !conf_net_equal(&listener->address, &other->address))
            continue;
        char sentence[160];
        snprintf(sentence, sizeof(sentence),
                 "%s is listened on twice, first in line %u; give each address once", listener->text,
                 place_in_element(c, "listeners", j, "address").line);
        report_element(c, "listeners", i, "address", sentence);
        return;
    }
}

static void check_listeners(const checker_t *c)
{
    const conf_node_t *list = conf_node_get(c->root, STR("listeners"));
    bool serves = false;
    for (size_t i = 0; i < c->conf->listener_count; i++) {
        const conf_listener_t *listener = &c->conf->listeners[i];
        serves = serves || listener->kind == CONF_LISTENER_TLS || listener->kind == CONF_LISTENER_PLAIN;
        if (listener->address.len != 0)
            check_listener(c, i);
    }
    if (!serves && c->conf->listener_count != 0)
        REPORT(c, CONF_WARNING, list->place, "listeners",
               "no listener carries previews; one of the kind tls (or plain) does");
}

static void check_certificates(const checker_t *c)
{
    bool tls = false;
    for (size_t i = 0; i < c->conf->listener_count; i++)
        tls = tls || c->conf->listeners[i].kind == CONF_LISTENER_TLS;
    if (!tls && c->conf->certificate_count != 0)
        REPORT(c, CONF_WARNING, place_in(c->root, "certificates"), "certificates",
               "no listener is of the kind tls; the certificates are not used");
}

static void check_trusted(const checker_t *c)
{
    const conf_node_t *list = conf_node_get(c->root, STR("trusted_proxies"));
    for (size_t i = 0; i < c->conf->trusted_count; i++) {
        const conf_network_t *network = &c->conf->trusted[i];
        bool all_v4 = network->bits == 96 && IN6_IS_ADDR_V4MAPPED(&network->address);
        if (all_v4 || network->bits == 0)
            REPORT(c, CONF_WARNING, list->children[i]->place, "trusted_proxies",
                   "every client is trusted to say where it comes from");
    }
}

static void check_admin(const checker_t *c)
{
    if (c->conf->admin_socket == NULL)
        return;
    const size_t most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
    size_t length = strlen(c->conf->admin_socket);
    if (length <= most)
        return;
    const conf_node_t *admin = conf_node_get(c->root, STR("admin"));
    conf_place_t place = admin != NULL ? place_in(admin, "socket") : place_in(c->root, "run_dir");
    REPORT(c, CONF_ERROR, place, "admin.socket",
           "\"%.80s...\" is %zu characters long; allowed: at most %zu, the system's bound for sockets",
           c->conf->admin_socket, length, most);
}

static void check_store(const checker_t *c)
{
    const conf_node_t *store = conf_node_get(c->root, STR("store"));
    if (c->conf->store_map_bytes % 4096 != 0)
        REPORT(c, CONF_ERROR, place_in(store, "map_size"), "store.map_size",
               "is %llu bytes, which is no multiple of 4KiB; allowed: a multiple of 4KiB",
               (unsigned long long)c->conf->store_map_bytes);
}

static void check_box_address(const checker_t *c, size_t i)
{
    const conf_box_t *box = &c->conf->boxes[i];
    if (box->address.len == 0)
        return;
    char text[64];
    char sentence[160];
    conf_net_print(&box->address, text);
    const char *what = conf_net_not_for_boxes(&box->address);
    if (what != NULL)
        snprintf(sentence, sizeof(sentence), "%s is %s; allowed: an address where one box can be", text,
                 what);
    else if (conf_listens_on(c->conf, (const struct sockaddr *)&box->address.sa))
        snprintf(sentence, sizeof(sentence), "%s is a listener of the edge itself; allowed: another address",
                 text);
    else
        return;
    report_element(c, "boxes", i, "address", sentence);
}

static int by_id(const void *a, const void *b)
{
    const conf_box_t *x = *(const conf_box_t *const *)a;
    const conf_box_t *y = *(const conf_box_t *const *)b;
    int order = strcmp(x->id, y->id);
    return order != 0 ? order : x < y ? -1 : x > y;
}

static void check_boxes(const checker_t *c)
{
    const conf_box_t **sorted = conf_alloc(c->conf->box_count, sizeof(conf_box_t *));
    for (size_t i = 0; i < c->conf->box_count; i++) {
        sorted[i] = &c->conf->boxes[i];
        check_box_address(c, i);
    }
    qsort(sorted, c->conf->box_count, sizeof(*sorted), by_id);
    for (size_t i = 1; i < c->conf->box_count; i++) {
        if (sorted[i]->id[0] == '\0' || strcmp(sorted[i - 1]->id, sorted[i]->id) != 0)
            continue;
        size_t first = (size_t)(sorted[i - 1] - c->conf->boxes);
        size_t second = (size_t)(sorted[i] - c->conf->boxes);
        char sentence[160];
        snprintf(sentence, sizeof(sentence), "\"%s\" is given twice, first in line %u; give each id once",
                 sorted[i]->id, place_in_element(c, "boxes", first, "id").line);
        report_element(c, "boxes", second, "id", sentence);
    }
    free(sorted);
}

void conf_check(const conf_t *conf, const conf_node_t *root, conf_errors_t *errors)
{
    const checker_t c = {conf, root, errors};
    check_listeners(&c);
    check_certificates(&c);
    check_trusted(&c);
    check_admin(&c);
    check_store(&c);
    check_boxes(&c);
}
