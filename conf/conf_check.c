#include "conf_check.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "address.h"
#include "conf_bind.h"
#include "conf_net.h"

typedef struct checker {
    const conf_t *conf;
    const conf_node_t *root;
    conf_errors_t *errors;
} checker_t;

/* The position of a key's value; if the file lacks the key, the start of the map that it belongs
 * to. */
static conf_place_t place_in(const conf_node_t *map, const char *name)
{
    const conf_node_t *node = conf_node_get(map, str_from(name));
    return node != NULL ? node->place : map->place;
}

static conf_place_t place_in_element(const checker_t *c, const char *list, size_t i, const char *name)
{
    const conf_node_t *node = conf_node_get(c->root, str_from(list));
    return place_in(node->children[i], name);
}

/* Reports an error in the key `name` of the element `i` of `list`. */
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

static void check_terminated(const checker_t *c, size_t i)
{
    if (c->conf->listeners[i].kind != CONF_LISTENER_PLAIN)
        report_element(c, "listeners", i, "tls_terminated",
                       "is for a listener of the kind plain, behind a proxy that speaks TLS");
    else if (conf_node_get(c->root, STR("trusted_proxies")) == NULL)
        REPORT(c, CONF_WARNING, place_in_element(c, "listeners", i, "tls_terminated"),
               "listeners.tls_terminated", "trusted_proxies is empty, so no request counts as https");
}

/* Whether both want the same port of an address. */
static bool overlap(const conf_listener_t *a, const conf_listener_t *b)
{
    bool both_families = a->ipv4 || b->ipv4;
    return conf_net_overlap(&a->address, &b->address) ||
           (both_families && conf_net_port(&a->address) == conf_net_port(&b->address));
}

static void check_metrics(const checker_t *c, size_t i)
{
    const conf_listener_t *listener = &c->conf->listeners[i];
    if (listener->proxy_protocol)
        report_element(c, "listeners", i, "proxy_protocol", "is not for a listener of the kind metrics");
    if ((listener->tls_certificate[0] != '\0') != (listener->tls_key[0] != '\0'))
        report_element(c, "listeners", i, listener->tls_key[0] != '\0' ? "tls_certificate" : "tls_key",
                       "is missing; needed: a certificate and its key are given together");
}

static void check_not_metrics(const checker_t *c, size_t i)
{
    const conf_listener_t *listener = &c->conf->listeners[i];
    static const char sentence[] = "is for a listener of the kind metrics";
    if (listener->tls_certificate[0] != '\0')
        report_element(c, "listeners", i, "tls_certificate", sentence);
    if (listener->tls_key[0] != '\0')
        report_element(c, "listeners", i, "tls_key", sentence);
    if (listener->token_file[0] != '\0')
        report_element(c, "listeners", i, "token_file", sentence);
}

/* Reports the address that a listener other than one for metrics lacks. */
static void check_address(const checker_t *c, size_t i)
{
    const conf_node_t *node = conf_node_get(c->root, STR("listeners"))->children[i];
    if (node->kind == CONF_NODE_MAP && !node->skip && !node->cut &&
        conf_node_get(node, STR("address")) == NULL)
        report_element(c, "listeners", i, "address",
                       "is missing; needed: an address with a port, such as 0.0.0.0:443 or [::]:443");
}

static void check_listener(const checker_t *c, size_t i)
{
    const conf_listener_t *listener = &c->conf->listeners[i];
    if (listener->kind == CONF_LISTENER_METRICS)
        check_metrics(c, i);
    else
        check_not_metrics(c, i);
    if (listener->ipv4 &&
        (listener->address.sa.ss_family != AF_INET6 || !conf_net_is_any(&listener->address)))
        report_element(c, "listeners", i, "ipv4", "is for a listener at [::]");
    if (listener->tls_terminated)
        check_terminated(c, i);
    for (size_t j = 0; j < i; j++) {
        const conf_listener_t *other = &c->conf->listeners[j];
        if (other->address.len == 0 || !overlap(listener, other))
            continue;
        char sentence[320];
        unsigned line = place_in_element(c, "listeners", j, "address").line;
        if (conf_net_equal(&listener->address, &other->address))
            snprintf(sentence, sizeof(sentence),
                     "%s has two listeners, the first in line %u; give each address once", listener->text,
                     line);
        else
            snprintf(sentence, sizeof(sentence),
                     "%s conflicts with %s in line %u: one of the two takes this port at all addresses; "
                     "remove one, or use another port",
                     listener->text, other->text, line);
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
        else
            check_address(c, i);
    }
    if (!serves && c->conf->listener_count != 0)
        REPORT(c, CONF_WARNING, list->place, "listeners",
               "no listener carries previews; add one of the kind tls (or plain)");
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
        const conf_network_t *network = &c->conf->trusted[i].network;
        const conf_node_t *node = list->children[i];
        bool is_explicit = node->kind == CONF_NODE_SCALAR || conf_node_get(node, STR("network")) != NULL;
        bool all_v4 = network->bits == 96 && address_is_v4(&network->address);
        if (is_explicit && (all_v4 || network->bits == 0))
            REPORT(c, CONF_WARNING, node->place, "trusted_proxies",
                   "this trusts every client to name its own address");
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

/* The position of a box's id. */
typedef struct named_box {
    const char *id;
    const char *list;
    size_t index;
} named_box_t;

static int by_id(const void *a, const void *b)
{
    const named_box_t *x = a, *y = b;
    int order = strcmp(x->id, y->id);
    if (order == 0)
        order = strcmp(x->list, y->list);
    return order != 0 ? order : x->index < y->index ? -1 : x->index > y->index;
}

/* Each id may belong to only one box, across all providers. */
static void check_ids(const checker_t *c)
{
    const conf_t *conf = c->conf;
    size_t count = 0;
    named_box_t *all = conf_alloc(conf->box_count + conf->process_count, sizeof(*all));
    for (size_t i = 0; i < conf->box_count; i++)
        all[count++] = (named_box_t){conf->boxes[i].id, "boxes", i};
    for (size_t i = 0; i < conf->process_count; i++)
        all[count++] = (named_box_t){conf->processes[i].id, "processes", i};
    qsort(all, count, sizeof(*all), by_id);
    for (size_t i = 1; i < count; i++) {
        if (all[i].id[0] == '\0' || strcmp(all[i - 1].id, all[i].id) != 0)
            continue;
        char sentence[160];
        snprintf(sentence, sizeof(sentence), "\"%s\" is given twice, first in line %u; give each id once",
                 all[i].id, place_in_element(c, all[i - 1].list, all[i - 1].index, "id").line);
        report_element(c, all[i].list, all[i].index, "id", sentence);
    }
    free(all);
}

/* A process listens on this machine, as the edge does. */
static void check_process_ports(const checker_t *c, size_t i)
{
    const conf_process_t *process = &c->conf->processes[i];
    for (size_t j = 0; j < process->port_count; j++) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons(process->ports[j]),
                                      .sin_addr = {htonl(INADDR_LOOPBACK)}};
        char sentence[160];
        if (process->ports[j] == 0 || !conf_listens_on(c->conf, (const struct sockaddr *)&address))
            continue;
        snprintf(sentence, sizeof(sentence),
                 "%u is the port of a listener of the edge itself; allowed: another", process->ports[j]);
        report_element(c, "processes", i, "ports", sentence);
    }
}

static bool has_port(const conf_process_t *process, uint16_t port)
{
    for (size_t i = 0; i < process->port_count; i++)
        if (process->ports[i] == port)
            return true;
    return false;
}

/* The first preview of the process with the port of its preview `at`. */
static size_t first_of_port(const conf_process_t *process, size_t at)
{
    size_t i = 0;
    while (process->previews[i].port != process->previews[at].port)
        i++;
    return i;
}

/* A declared preview is of a port of its box, once. */
static void check_process_previews(const checker_t *c, size_t i)
{
    const conf_process_t *process = &c->conf->processes[i];
    const conf_node_t *list =
        conf_node_get(conf_node_get(c->root, STR("processes"))->children[i], STR("previews"));
    for (size_t j = 0; j < process->preview_count && list->kind == CONF_NODE_LIST; j++) {
        unsigned port = process->previews[j].port;
        size_t first = first_of_port(process, j);
        conf_place_t place = place_in(list->children[j], "port");
        char key[96];
        snprintf(key, sizeof(key), "processes[%zu].previews[%zu].port", i, j);
        if (port == 0) /* reported already */
            continue;
        if (!has_port(process, (uint16_t)port))
            REPORT(c, CONF_ERROR, place, key, "%u is no port of this box; allowed: one of its ports", port);
        else if (first != j)
            REPORT(c, CONF_ERROR, place, key, "%u is given twice, first in line %u; give each port once",
                   port, place_in(list->children[first], "port").line);
    }
}

static void check_processes(const checker_t *c)
{
    for (size_t i = 0; i < c->conf->process_count; i++) {
        const conf_process_t *process = &c->conf->processes[i];
        check_process_ports(c, i);
        check_process_previews(c, i);
        if (process->command_count != 0 && process->command[0] != NULL && process->command[0][0] == '\0')
            report_element(c, "processes", i, "command", "is empty; allowed: a program");
        if (process->user != NULL && strcmp(process->user, "root") == 0)
            report_element(
                c, "processes", i, "user",
                "is root; allowed: another user, since visitors of the preview talk to this process");
    }
}

/* Returns whether one of the two networks contains the other. */
static bool overlaps(const conf_network_t *network, const char *text)
{
    conf_network_t other;
    if (conf_net_read_network(str_from(text), &other) != NULL || network->bits == CONF_NETWORK_UNREAD)
        return false;
    const conf_network_t *narrow = network->bits > other.bits ? network : &other;
    const conf_network_t *wide = narrow == network ? &other : network;
    return conf_network_has(wide, 1, &narrow->address);
}

static void check_origins(const checker_t *c)
{
    static const char *const never[] = {"127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10", "0.0.0.0/8"};
    const conf_node_t *origins = conf_node_get(c->root, STR("origins"));
    const conf_node_t *list = conf_node_get(origins, STR("allow"));
    if (list == NULL || list->kind != CONF_NODE_LIST)
        return;
    for (size_t i = 0; i < c->conf->origin_count && i < list->count; i++)
        for (size_t j = 0; j < sizeof(never) / sizeof(never[0]); j++)
            if (overlaps(&c->conf->origins[i], never[j]))
                REPORT(c, CONF_WARNING, list->children[i]->place, "origins.allow",
                       "has addresses of %s in it; the edge never connects to those for a box", never[j]);
}

/* The URL's host is this machine, so the connection crosses no network. */
static bool is_near(const char *url)
{
    static const char *const hosts[] = {"localhost", "[::1]"};
    const char *host = strstr(url, "://") + 3;
    const char *end = host[0] == '[' ? strchr(host, ']') : NULL;
    size_t n = end != NULL ? (size_t)(end - host) + 1 : strcspn(host, ":/");
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        if (str_eq(str_make(host, n), str_from(hosts[i])))
            return true;
    conf_network_t here, loopback;
    return conf_net_read_network(str_make(host, n), &here) == NULL &&
           conf_net_read_network(STR("127.0.0.0/8"), &loopback) == NULL &&
           conf_network_has(&loopback, 1, &here.address);
}

static void check_control_plane(const checker_t *c)
{
    const conf_t *conf = c->conf;
    if (conf->control_plane.url == NULL || conf->control_plane.token_file == NULL)
        return;
    const char *url = conf->control_plane.url;
    const conf_node_t *section = conf_node_get(c->root, STR("control_plane"));
    if (strncmp(url, "http://", 7) == 0 && conf->control_plane.token_file[0] != '\0' && !is_near(url))
        REPORT(c, CONF_WARNING, place_in(section, "url"), "control_plane.url",
               "is not https, so anyone on the network path can read the token that the edge sends");
}

void conf_check(const conf_t *conf, const conf_node_t *root, conf_errors_t *errors)
{
    const checker_t c = {conf, root, errors};
    check_listeners(&c);
    check_certificates(&c);
    check_trusted(&c);
    check_admin(&c);
    check_store(&c);
    for (size_t i = 0; i < conf->box_count; i++)
        check_box_address(&c, i);
    check_ids(&c);
    check_processes(&c);
    check_origins(&c);
    check_control_plane(&c);
    conf_check_api(conf, root, errors);
}
