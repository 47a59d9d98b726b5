/* From text to a configuration: defaults, bounds of every key, refused values and their messages. */
#include "conf_fixture.h"

#include "conf_keys.h"
#include "conf_value.h"

static void defaults(void **state)
{
    (void)state;
    conf_t *conf = fixture_good(BASE);
    assert_string_equal(conf->source, "e.yaml");
    assert_string_equal(conf->preview_domain, "p.example");
    assert_int_equal(conf->listener_count, 1);
    assert_int_equal(conf->listeners[0].kind, CONF_LISTENER_TLS);
    assert_string_equal(conf->listeners[0].text, "127.0.0.1:8443");
    assert_false(conf->listeners[0].proxy_protocol);
    assert_int_equal(conf->certificate_count, 0);
    assert_int_equal(conf->trusted_count, 0);
    assert_int_equal(conf->box_count, 0);
    assert_int_equal(conf->public_port, 8443);
    assert_int_equal(conf->workers, 3);
    assert_string_equal(conf->node, "edge-host");
    assert_string_equal(conf->user, "boxedge");
    assert_string_equal(conf->access_log, "stdout");
    assert_int_equal(conf->store_map_bytes, UINT64_C(16) << 30);
    assert_int_equal(conf->limits.head_bytes, 32768);
    assert_int_equal(conf->limits.head_fields, 100);
    assert_int_equal(conf->limits.streams, 128);
    assert_int_equal(conf->limits.connections_per_client, 1024);
    assert_int_equal(conf->limits.connections, 32768);
    assert_int_equal(conf->limits.memory_bytes, 512 << 20);
    assert_int_equal(conf->timeouts.handshake, 10000);
    assert_int_equal(conf->timeouts.head, 10000);
    assert_int_equal(conf->timeouts.body_idle, 60000);
    assert_int_equal(conf->timeouts.write_idle, 60000);
    assert_int_equal(conf->timeouts.keep_alive, 75000);
    assert_int_equal(conf->timeouts.connect, 5000);
    assert_int_equal(conf->timeouts.first_byte, 900000);
    assert_int_equal(conf->timeouts.pool_idle, 4000);
    assert_int_equal(conf->timeouts.drain, 30000);
    assert_int_equal(conf->timeouts.drain_tunnels, 3600000);
    assert_int_equal(conf->timeouts.heartbeat, 5000);
    conf_release(&conf);
}

/* Off by default; 30 minutes if it is on without a time. */
static void pausing_of_containers(void **state)
{
    (void)state;
    static const struct {
        const char *docker;
        uint32_t idle;
    } cases[] = {{"{}", 0},
                 {"{pause: false}", 0},
                 {"{pause: true}", 1800000},
                 {"{pause: true, idle: 0ms}", 1800000},
                 {"{pause: true, idle: 1m}", 60000},
                 {"{idle: 1m}", 60000}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[512];
        snprintf(text, sizeof(text), BASE "docker: %s\n", cases[i].docker);
        conf_t *conf = fixture_good(text);
        assert_int_equal(conf->docker.idle, cases[i].idle);
        conf_release(&conf);
    }
}

static void every_field(void **state)
{
    (void)state;
    conf_t *conf =
        fixture_good("preview_domain: Preview.Box.Example.\n"
                     "public_port: 8443\n"
                     "listeners:\n"
                     "  - {address: \"0.0.0.0:443\", kind: tls}\n"
                     "  - {address: '[::]:80', kind: redirect}\n"
                     "  - {address: 127.0.0.1:8080, kind: plain, proxy_protocol: true}\n"
                     "  - {address: 127.0.0.1:8081, kind: health}\n"
                     "certificates: [{chain: a.pem, key: /k/b.pem}]\n"
                     "workers: 2\nnode: n1\nuser: \"\"\nstate_dir: /s\nrun_dir: r\n"
                     "admin: {socket: /a.sock}\nstore: {map_size: 1MiB}\nlog: {access: logs/a.log}\n"
                     "trusted_proxies: [10.0.0.0/8, \"fd00::/8\", 192.0.2.1]\n"
                     "limits: {head_size: 4KiB, head_fields: 20, streams: 7, connections_per_client: 0, "
                     "connections: 99, memory: 8MiB}\n"
                     "timeouts: {handshake: 11ms, head: 12ms, body_idle: 13ms, write_idle: 14ms, keep_alive: "
                     "15ms, connect: 16ms,\n"
                     "  first_byte: 17ms, pool_idle: 18ms, drain: 0, heartbeat: 2s}\n"
                     "boxes: [{id: b-1, address: 10.0.0.1}, {id: b_2, address: \"[fd00::1]:3000\"}]\n");
    assert_string_equal(conf->preview_domain, "preview.box.example");
    assert_int_equal(conf->public_port, 8443);
    assert_int_equal(conf->listener_count, 4);
    assert_string_equal(conf->listeners[1].text, "[::]:80");
    assert_int_equal(conf->listeners[1].address.sa.ss_family, AF_INET6);
    assert_int_equal(conf->listeners[1].address.len, sizeof(struct sockaddr_in6));
    assert_int_equal(conf->listeners[1].kind, CONF_LISTENER_REDIRECT);
    assert_int_equal(conf->listeners[2].kind, CONF_LISTENER_PLAIN);
    assert_true(conf->listeners[2].proxy_protocol);
    assert_false(conf->listeners[1].proxy_protocol);
    assert_int_equal(conf->listeners[3].kind, CONF_LISTENER_HEALTH);
    assert_int_equal(conf->certificate_count, 1);
    assert_string_equal(conf->certificates[0].chain_path, "/srv/a.pem");
    assert_string_equal(conf->certificates[0].key_path, "/k/b.pem");
    assert_int_equal(conf->certificates[0].chain_place.line, 8);
    assert_int_equal(conf->certificates[0].chain_place.column, 24);
    assert_int_equal(conf->certificates[0].key_place.column, 36);
    assert_int_equal(conf->workers, 2);
    assert_string_equal(conf->node, "n1");
    assert_string_equal(conf->user, "");
    assert_string_equal(conf->state_dir, "/s");
    assert_string_equal(conf->run_dir, "/srv/r");
    assert_string_equal(conf->admin_socket, "/a.sock");
    assert_int_equal(conf->store_map_bytes, 1 << 20);
    assert_string_equal(conf->access_log, "/srv/logs/a.log");
    assert_int_equal(conf->trusted_count, 3);
    assert_int_equal(conf->trusted[0].network.bits, 104);
    assert_int_equal(conf->trusted[1].network.bits, 8);
    assert_int_equal(conf->trusted[2].network.bits, 128);
    assert_int_equal(conf->limits.head_bytes, 4096);
    assert_int_equal(conf->limits.head_fields, 20);
    assert_int_equal(conf->limits.streams, 7);
    assert_int_equal(conf->limits.connections_per_client, 0);
    assert_int_equal(conf->limits.connections, 99);
    assert_int_equal(conf->limits.memory_bytes, 8 << 20);
    assert_int_equal(conf->timeouts.handshake, 11);
    assert_int_equal(conf->timeouts.head, 12);
    assert_int_equal(conf->timeouts.body_idle, 13);
    assert_int_equal(conf->timeouts.write_idle, 14);
    assert_int_equal(conf->timeouts.keep_alive, 15);
    assert_int_equal(conf->timeouts.connect, 16);
    assert_int_equal(conf->timeouts.first_byte, 17);
    assert_int_equal(conf->timeouts.pool_idle, 18);
    assert_int_equal(conf->timeouts.drain, 0);
    assert_int_equal(conf->timeouts.heartbeat, 2000);
    assert_int_equal(conf->box_count, 2);
    assert_string_equal(conf->boxes[0].id, "b-1");
    assert_int_equal(((struct sockaddr_in *)&conf->boxes[0].address.sa)->sin_port, 0);
    assert_string_equal(conf->boxes[1].id, "b_2");
    assert_int_equal(((struct sockaddr_in6 *)&conf->boxes[1].address.sa)->sin6_port, htons(3000));
    conf_release(&conf);
}

/* BASE with one more key, in its section. */
static char *with(const conf_key_t *key, const char *value)
{
    char *text = NULL;
    const char *leaf = conf_keys_leaf(key);
    int n;
    if (leaf == key->name)
        n = asprintf(&text, BASE "%s: %s\n", leaf, value);
    else
        n = asprintf(&text, BASE "%.*s: {%s: %s}\n", (int)(leaf - key->name) - 1, key->name, leaf, value);
    assert_true(n > 0);
    return text;
}

static uint64_t field(const conf_t *conf, const conf_key_t *key)
{
    const char *at = (const char *)conf + key->offset;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    memcpy(&u16, at, sizeof(u16));
    memcpy(&u32, at, sizeof(u32));
    memcpy(&u64, at, key->width < sizeof(u64) ? key->width : sizeof(u64));
    return key->width == sizeof(u16) ? u16 : key->width == sizeof(u32) ? u32 : u64;
}

static void print_value(const conf_key_t *key, uint64_t value, char out[32])
{
    if (key->type == CONF_DURATION)
        snprintf(out, 32, "%llums", (unsigned long long)value);
    else
        snprintf(out, 32, "%llu", (unsigned long long)value);
}

static void expect_number(const conf_key_t *key, uint64_t value)
{
    char shown[32];
    print_value(key, value, shown);
    char *text = with(key, shown);
    conf_t *conf = fixture_good(text);
    if (field(conf, key) != value && strcmp(key->name, "workers") != 0) /* of which 0 is resolved */
        fail_msg("%s: %s became %llu", key->name, shown, (unsigned long long)field(conf, key));
    conf_release(&conf);
    free(text);
}

static void expect_no_number(const conf_key_t *key, uint64_t value, const char *why)
{
    char shown[32];
    char allowed[CONF_ALLOWED_MAX];
    char wanted[512];
    print_value(key, value, shown);
    char *text = with(key, shown);
    const char *leaf = conf_keys_leaf(key);
    size_t column = leaf == key->name ? strlen(leaf) + 3 : strlen(key->name) + 5;
    snprintf(wanted, sizeof(wanted), "e.yaml:3:%zu: %s: \"%s\" %s; allowed: %s\n", column, key->name, shown,
             why, conf_keys_allowed(key, allowed));
    fixture_bad(text, wanted);
    free(text);
}

static void every_number_at_its_bounds(void **state)
{
    (void)state;
    size_t seen = 0;
    for (size_t i = 0; i < conf_keys.count; i++) {
        const conf_key_t *key = &conf_keys.keys[i];
        if (key->type != CONF_UINT && key->type != CONF_DURATION && key->type != CONF_SIZE)
            continue;
        seen++;
        expect_number(key, key->min);
        expect_number(key, key->max);
        expect_no_number(key, key->max + 1, "is too large");
        expect_no_number(key, UINT64_MAX, "is too large");
        if (key->min != 0)
            expect_no_number(key, key->min - 1, "is too small");
    }
    assert_true(seen >= 19);
}

/* `count` elements of a list, each made by printing its index into `element` (which asks for one %zu). */
static char *list_of(const char *before, const char *element, size_t count)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    fprintf(out, "%s[", before);
    for (size_t i = 0; i < count; i++) {
        const char *at = strchr(element, '#');
        fprintf(out, "%s%.*s%zu%s", i != 0 ? "," : "", (int)(at - element), element, i + 1, at + 1);
    }
    fprintf(out, "]\n");
    fclose(out);
    return text;
}

static void expect_list_bound(const char *before, const char *element, size_t most, const char *wanted)
{
    char *text = list_of(before, element, most);
    conf_t *conf = fixture_good(text);
    conf_release(&conf);
    free(text);
    text = list_of(before, element, most + 1);
    fixture_bad(text, wanted);
    free(text);
}

static void lists_at_their_bounds(void **state)
{
    (void)state;
    expect_list_bound("preview_domain: p.example\nlisteners: ", "{address: \"127.0.0.1:#\", kind: tls}", 64,
                      "e.yaml:2:12: listeners: has 65 elements; allowed: a list of 1 to 64 maps\n");
    expect_list_bound(BASE "certificates: ", "{chain: c#, key: k}", 1024,
                      "e.yaml:3:15: certificates: has 1025 elements; allowed: a list of 0 to 1024 maps\n");
    expect_list_bound(BASE "trusted_proxies: ", "\"fd00::#\"", 256,
                      "e.yaml:3:18: trusted_proxies: has 257 elements; allowed: a list of 0 to 256 maps\n");
    expect_list_bound(BASE "boxes: ", "{id: b#, address: 10.0.0.1}", 16384,
                      "e.yaml:3:8: boxes: has 16385 elements; allowed: a list of 0 to 16384 maps\n");
    expect_list_bound(BASE "processes: ", "{id: b#, command: x, ports: [1]}", 1024,
                      "e.yaml:3:12: processes: has 1025 elements; allowed: a list of 0 to 1024 maps\n");
    expect_list_bound(
        BASE "origins:\n  allow: ", "\"fd00::#\"", 256,
        "e.yaml:4:10: origins.allow: has 257 elements; allowed: a list of at most 256 networks, such as "
        "10.0.0.0/8 or fd00::/8\n");
#define WITHOUT_PORTS BASE "processes:\n  - id: a\n    command: x\n    "
    expect_list_bound(
        WITHOUT_PORTS "ports: ", "#", 16,
        "e.yaml:6:12: processes[0].ports: has 17 elements; allowed: a list of 1 to 16 ports from 1 to "
        "65535, each once\n");
    expect_list_bound(
        WITHOUT_PORTS "ports: [1]\n    environment: ", "A#=", 256,
        "e.yaml:7:18: processes[0].environment: has 257 elements; allowed: a list of at most 256 "
        "strings such as NAME=value\n");
    expect_list_bound(
        BASE "processes:\n  - id: a\n    ports: [1]\n    command: ", "a#", 64,
        "e.yaml:6:14: processes[0].command: has 65 elements; allowed: a string, or a list of 1 to 64 "
        "strings, such as [npm, start]\n");
    fixture_bad("preview_domain: p.example\nlisteners: []\n",
                "e.yaml:2:12: listeners: has 0 elements; allowed: a list of 1 to 64 maps\n");
}

/* A process box whose command is `n` times 'x', followed by `after`. */
static char *command_of(size_t n, const char *after)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    fprintf(out, BASE "processes: [{id: a, ports: [1], command: [\"%0*d%s\"]}]\n", (int)n, 0, after);
    fclose(out);
    return text;
}

static void strings_at_their_bounds(void **state)
{
    (void)state;
    char *text = command_of(4096, "");
    conf_t *conf = fixture_good(text);
    assert_int_equal(strlen(conf->processes[0].command[0]), 4096);
    conf_release(&conf);
    free(text);
    text = command_of(4097, "");
    char wanted[256];
    snprintf(wanted, sizeof(wanted),
             "e.yaml:3:43: processes[0].command[0]: \"%064d...\" is too long; allowed: a string, or a list "
             "of 1 to "
             "64 strings, such as [npm, start]\n",
             0);
    fixture_bad(text, wanted);
    free(text);
    text = command_of(1, "\\0");
    fixture_bad(text,
                "e.yaml:3:43: processes[0].command[0]: \"0?\" has a NUL in it; allowed: a string, or a list "
                "of 1 to 64 strings, such as [npm, start]\n");
    free(text);
}

static void what_is_missing(void **state)
{
    (void)state;
    static const char all[] =
        "e.yaml:1:1: preview_domain: is missing; needed: a domain name of at most 189 characters, such as "
        "preview.box.example.com\n"
        "e.yaml:1:1: listeners: is missing; needed: a list of 1 to 64 maps\n";
    fixture_bad("", all);
    fixture_bad("# nothing\n", all);
    fixture_bad("---\n", all);
    fixture_bad("~\n", all);
    fixture_bad("{}", all);
    fixture_bad(BASE "certificates: [{chain: a}, {key: b}]\n",
                "e.yaml:3:16: certificates[0].key: is missing; needed: a path\n"
                "e.yaml:3:28: certificates[1].chain: is missing; needed: a path\n");
    fixture_bad(
        BASE "boxes: [{}]\n",
        "e.yaml:3:9: boxes[0].id: is missing; needed: 1 to 57 of a-z, 0-9, `-` and `_`, the first and the "
        "last a letter or digit\n"
        "e.yaml:3:9: boxes[0].address: is missing; needed: an address, with or without a port, such as "
        "127.0.0.1, 10.0.0.5:3000 or [fd00::5]\n");
}

#define TOP_KEYS                                                                                             \
    "preview_domain, public_port, listeners, certificates, workers, node, user, state_dir, run_dir, admin, " \
    "store, log, tracing, trusted_proxies, limits, timeouts, boxes, processes, docker, control_plane, "      \
    "origins, "                                                                                              \
    "wake, failure_details, upstreams, plans, api"

static void unknown_keys(void **state)
{
    (void)state;
    fixture_bad(BASE "public_prot: 1\n",
                "e.yaml:3:1: public_prot: is not a known key; did you mean public_port?\n");
    fixture_bad(BASE "Workers: 1\n", "e.yaml:3:1: Workers: is not a known key; did you mean workers?\n");
    fixture_bad(BASE "certs: []\n", "e.yaml:3:1: certs: is not a known key; allowed here: " TOP_KEYS "\n");
    /* A key that is only a little similar gives no suggestion. */
    fixture_bad(BASE "admin: {secret: 1}\n",
                "e.yaml:3:9: admin.secret: is not a known key; allowed here: socket\n");
    fixture_bad(BASE "cert: []\n", "e.yaml:3:1: cert: is not a known key; did you mean certificates?\n");
    fixture_bad(BASE "timeouts:\n  haed: 1s\n",
                "e.yaml:4:3: timeouts.haed: is not a known key; did you mean timeouts.head?\n");
    fixture_bad(BASE "limits: {keep_alive: 1s}\n",
                "e.yaml:3:10: limits.keep_alive: is not a known key; did you mean timeouts.keep_alive?\n");
    fixture_bad(BASE "limits: {workers: 1}\n",
                "e.yaml:3:10: limits.workers: is not a known key; did you mean workers?\n");
    fixture_bad(BASE "timeouts.head: 1s\n",
                "e.yaml:3:1: timeouts.head: is written as a map in a map (timeouts: "
                "{head: ...}), not as a name with a dot\n");
    fixture_bad(BASE "boxes: [{id: a, address: 10.0.0.1, prot: 1}]\n",
                "e.yaml:3:36: boxes[0].prot: is not a known key; allowed here: id, address, ports\n");
    fixture_bad(
        BASE "boxes: [{id: a, addres: 10.0.0.1}]\n",
        "e.yaml:3:9: boxes[0].address: is missing; needed: an address, with or without a port, such as "
        "127.0.0.1, 10.0.0.5:3000 or [fd00::5]\n"
        "e.yaml:3:17: boxes[0].addres: is not a known key; did you mean boxes[0].address?\n");
    fixture_bad(BASE "\"\\0\\e[1m\": 1\n",
                "e.yaml:3:1: ??[1m: is not a known key; allowed here: " TOP_KEYS "\n");
}

static void keys_given_twice(void **state)
{
    (void)state;
    fixture_bad(BASE "workers: 1\nworkers: 1\n",
                "e.yaml:4:1: workers: is given twice, first in line 3; give it once\n");
    fixture_bad(BASE "timeouts: {head: 1s, head: bad}\n",
                "e.yaml:3:22: timeouts.head: is given twice, first in line 3; give it once\n");
    fixture_bad(BASE "boxes: [{id: a, address: 10.0.0.1, id: b}]\n",
                "e.yaml:3:36: boxes[0].id: is given twice, first in line 3; give it once\n");
    fixture_bad(BASE "listeners: []\n",
                "e.yaml:3:1: listeners: is given twice, first in line 2; give it once\n");
}

static void wrong_types(void **state)
{
    (void)state;
    fixture_bad(BASE "workers: [1]\n",
                "e.yaml:3:10: workers: is a list; allowed: a whole number of processes from 0 to 256\n");
    fixture_bad(BASE "workers: {a: 1}\n",
                "e.yaml:3:10: workers: is a map; allowed: a whole number of processes from 0 to 256\n");
    fixture_bad(BASE "workers:\n",
                "e.yaml:3:9: workers: has no value; allowed: a whole number of processes from 0 to "
                "256 (leave the key out for its default)\n");
    fixture_bad(BASE "workers: -1\n",
                "e.yaml:3:10: workers: \"-1\" is not a whole number; allowed: a whole number of "
                "processes from 0 to 256\n");
    fixture_bad(BASE "workers: many\n",
                "e.yaml:3:10: workers: \"many\" is not a whole number; allowed: a whole "
                "number of processes from 0 to 256\n");
    fixture_bad(BASE "timeouts: 3\n", "e.yaml:3:11: timeouts: is a single value; allowed: a map of keys\n");
    fixture_bad(BASE "timeouts: [head]\n", "e.yaml:3:11: timeouts: is a list; allowed: a map of keys\n");
    fixture_bad(BASE "boxes: {id: a}\n", "e.yaml:3:8: boxes: is a map; allowed: a list of 0 to 16384 maps\n");
    fixture_bad(BASE "boxes: [a, [b], ]\n",
                "e.yaml:3:9: boxes[0]: is a single value; allowed: a map with the keys id, address, ports\n"
                "e.yaml:3:12: boxes[1]: is a list; allowed: a map with the keys id, address, ports\n");
    fixture_bad(
        BASE "trusted_proxies: [[a], b]\n",
        "e.yaml:3:19: trusted_proxies[0]: is a list; allowed: a map with the keys network, client_field\n"
        "e.yaml:3:24: trusted_proxies[1]: \"b\" is not a numeric address or network; allowed: a network such "
        "as "
        "10.0.0.0/8 or fd00::/8\n");
    fixture_bad("preview_domain: p.example\nlisteners:\n",
                "e.yaml:2:11: listeners: has no value; allowed: a list of 1 to 64 maps\n");
    fixture_bad("[a]\n", "e.yaml:1:1: the file must be a map of keys, such as \"preview_domain: ...\"\n");
    fixture_bad("word\n", "e.yaml:1:1: the file must be a map of keys, such as \"preview_domain: ...\"\n");
}

/* A section or list with only commented lines sets nothing. */
static void empty_sections_and_lists(void **state)
{
    (void)state;
    conf_t *conf =
        fixture_good(BASE "timeouts:\nlimits: ~\nboxes:\ntrusted_proxies: null\ncertificates: []\n");
    assert_int_equal(conf->timeouts.head, 10000);
    assert_int_equal(conf->box_count, 0);
    conf_release(&conf);
}

static void wrong_scalars(void **state)
{
    (void)state;
    fixture_bad(BASE "timeouts: {head: 10}\n", "e.yaml:3:18: timeouts.head: \"10\" has no unit; allowed: a "
                                               "duration from 10ms to 10m, such as 10s\n");
    fixture_bad(BASE "limits: {memory: 32MB}\n",
                "e.yaml:3:18: limits.memory: \"32MB\" has an unknown unit; allowed: a "
                "size from 4MiB to 1TiB, such as 512MiB\n");
    fixture_bad(
        "preview_domain: p.example\nlisteners: [{address: \"127.0.0.1:1\", kind: tsl}]\n",
        "e.yaml:2:44: listeners[0].kind: \"tsl\" is not a kind of listener; allowed: `tls`, `redirect`, "
        "`plain`, `health` or `metrics`\n");
    fixture_bad(
        BASE "boxes: [{id: -a, address: 10.0.0.1}]\n",
        "e.yaml:3:14: boxes[0].id: \"-a\" is not a box id; allowed: 1 to 57 of a-z, 0-9, `-` and `_`, the "
        "first and the last a letter or digit\n");
    fixture_bad(BASE "state_dir: \"\"\n", "e.yaml:3:12: state_dir: \"\" is empty; allowed: a path\n");
    fixture_bad(BASE "state_dir: \"/a\\0b\"\n",
                "e.yaml:3:12: state_dir: \"/a?b\" has a control character; allowed: a path\n");
    fixture_bad(BASE "state_dir: \"/a\\nb\"\n",
                "e.yaml:3:12: state_dir: \"/a?b\" has a control character; allowed: a path\n");
    fixture_bad(BASE "log: {access: \"\"}\n",
                "e.yaml:3:15: log.access: \"\" is empty; allowed: `stdout`, `off`, `journald`, "
                "syslog://HOST[:PORT] or the path of a file\n");
    fixture_bad(BASE "user: -x\n",
                "e.yaml:3:7: user: \"-x\" begins with a dash; allowed: the name of a user, or \"\"\n");
    fixture_bad(BASE "user: a:b\n",
                "e.yaml:3:7: user: \"a:b\" has a character other than letters, digits, \"-\", \".\" "
                "and \"_\"; allowed: the name of a user, or \"\"\n");
    fixture_bad(BASE "user: a23456789012345678901234567890123\n",
                "e.yaml:3:7: user: \"a23456789012345678901234567890123\" is too long; allowed: the name of a "
                "user, or "
                "\"\"\n");
    fixture_bad(BASE "log: {access: \"syslog://-x:1\"}\n",
                "e.yaml:3:15: log.access: \"syslog://-x:1\" has a label that begins with a dash; allowed: "
                "`stdout`, `off`, `journald`, syslog://HOST[:PORT] or the path of a file\n");
    conf_t *conf = fixture_good(BASE "user: a2345678901234567890123456789012\nlog: {access: off}\n");
    assert_int_equal(strlen(conf->user), 32);
    assert_string_equal(conf->access_log, "off");
    conf_release(&conf);
}

static void long_paths(void **state)
{
    (void)state;
    char text[8192];
    char path[4097];
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    snprintf(text, sizeof(text), BASE "state_dir: %.4094s\nrun_dir: /r\n", path);
    conf_t *conf = fixture_good(text);
    assert_int_equal(strlen(conf->state_dir), 4094);
    conf_release(&conf);
    snprintf(text, sizeof(text), BASE "state_dir: %.4095s\nrun_dir: /r\n", path);
    char wanted[256];
    snprintf(wanted, sizeof(wanted), "e.yaml:3:12: state_dir: \"%.64s...\" is too long; allowed: a path\n",
             path);
    fixture_bad(text, wanted);
}

/* The message for a long value is cut, and not within a character. */
static void shown_values(void **state)
{
    (void)state;
    char text[512];
    char wanted[512];
    char value[128];
    memset(value, 'a', 63);
    memcpy(value + 63,
           "\xc3\xbc"
           "bbb",
           6);
    snprintf(text, sizeof(text), BASE "workers: %s\n", value);
    snprintf(wanted, sizeof(wanted),
             "e.yaml:3:10: workers: \"%.63s...\" is not a whole number; allowed: a whole number of processes "
             "from 0 to "
             "256\n",
             value);
    fixture_bad(text, wanted);
    memcpy(value + 62, "\xc3\xbc", 3);
    snprintf(text, sizeof(text), BASE "workers: %s\n", value);
    snprintf(wanted, sizeof(wanted),
             "e.yaml:3:10: workers: \"%s\" is not a whole number; allowed: a whole number of processes from "
             "0 to 256\n",
             value);
    fixture_bad(text, wanted);
}

/* All errors of a file together, in its order, whichever part found them. */
static void all_at_once(void **state)
{
    (void)state;
    fixture_bad(
        "workers: x\n"
        "listeners:\n"
        "  - {address: \"127.0.0.1:1\", kind: tls}\n"
        "  - {address: \"127.0.0.1:1\", kind: nothing}\n"
        "timeouts: {head: 10, bodyidle: 1s}\n"
        "boxes: [{id: a, address: 127.0.0.1:1}]\n",
        "e.yaml:1:1: preview_domain: is missing; needed: a domain name of at most 189 characters, such as "
        "preview.box.example.com\n"
        "e.yaml:1:10: workers: \"x\" is not a whole number; allowed: a whole number of processes from 0 to "
        "256\n"
        "e.yaml:4:15: listeners[1].address: 127.0.0.1:1 has two listeners, the first in line 3; give each "
        "address once\n"
        "e.yaml:4:36: listeners[1].kind: \"nothing\" is not a kind of listener; allowed: `tls`, `redirect`, "
        "`plain`, `health` or `metrics`\n"
        "e.yaml:5:18: timeouts.head: \"10\" has no unit; allowed: a duration from 10ms to 10m, such as 10s\n"
        "e.yaml:5:22: timeouts.bodyidle: is not a known key; did you mean timeouts.body_idle?\n"
        "e.yaml:6:26: boxes[0].address: 127.0.0.1:1 is a listener of the edge itself; allowed: another "
        "address\n");
}

static void errors_are_bounded(void **state)
{
    (void)state;
    char *text = list_of(BASE "boxes: ", "{id: b#, address: x}", 1001);
    conf_environment_t env = fixture_environment();
    char *printed;
    assert_null(fixture_parse_in(&env, str_from(text), &printed));
    size_t lines = 0;
    for (const char *p = printed; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    assert_int_equal(lines, CONF_ERRORS_MAX + 1);
    assert_non_null(strstr(printed, "boxes[999].address"));
    assert_null(strstr(printed, "boxes[1000].address"));
    assert_string_equal(strrchr(printed, 'd') - 2, "and 1 more\n");
    free(printed);
    free(text);
}

static void references(void **state)
{
    (void)state;
    conf_t *first = fixture_good(BASE);
    conf_t *second = conf_acquire(first);
    assert_ptr_equal(first, second);
    conf_release(&first);
    assert_null(first);
    assert_string_equal(second->preview_domain, "p.example"); /* still there */
    conf_release(&second);
    assert_null(second);
    conf_release(&second); /* NULL is allowed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(pausing_of_containers),
        cmocka_unit_test(every_field),
        cmocka_unit_test(every_number_at_its_bounds),
        cmocka_unit_test(lists_at_their_bounds),
        cmocka_unit_test(strings_at_their_bounds),
        cmocka_unit_test(what_is_missing),
        cmocka_unit_test(unknown_keys),
        cmocka_unit_test(keys_given_twice),
        cmocka_unit_test(wrong_types),
        cmocka_unit_test(empty_sections_and_lists),
        cmocka_unit_test(wrong_scalars),
        cmocka_unit_test(long_paths),
        cmocka_unit_test(shown_values),
        cmocka_unit_test(all_at_once),
        cmocka_unit_test(errors_are_bounded),
        cmocka_unit_test(references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
