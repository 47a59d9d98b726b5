/* The rules between keys, and doubtful combinations. */
#include "conf_fixture.h"

#define DOMAIN "preview_domain: p.example\n"

static void listeners_given_twice(void **state)
{
    (void)state;
    fixture_bad(DOMAIN "listeners:\n"
                       "  - {address: \"[::1]:1\", kind: tls}\n"
                       "  - {address: \"[0:0::1]:1\", kind: plain}\n"
                       "  - {address: \"[::1]:1\", kind: health}\n",
                "e.yaml:4:15: listeners[1].address: [::1]:1 has two listeners, the first in line 3; give "
                "each address once\n"
                "e.yaml:5:15: listeners[2].address: [::1]:1 has two listeners, the first in line 3; give "
                "each address once\n");
    fixture_bad(DOMAIN "listeners:\n"
                       "  - {address: \"0.0.0.0:1\", kind: tls}\n"
                       "  - {address: \"127.0.0.1:1\", kind: plain}\n"
                       "  - {address: \"[::1]:1\", kind: tls}\n"
                       "  - {address: \"[::]:1\", kind: health}\n",
                "e.yaml:4:15: listeners[1].address: 127.0.0.1:1 conflicts with 0.0.0.0:1 in line 3: one of "
                "the two takes this port at all addresses; remove one, or use another port\n"
                "e.yaml:6:15: listeners[3].address: [::]:1 conflicts with [::1]:1 in line 5: one of the two "
                "takes this port at all addresses; remove one, or use another port\n");
    /* Another port, another family, another address: no two conflict. */
    conf_t *conf = fixture_good(DOMAIN "listeners:\n"
                                       "  - {address: \"0.0.0.0:1\", kind: tls}\n"
                                       "  - {address: \"0.0.0.0:2\", kind: tls}\n"
                                       "  - {address: \"[::]:1\", kind: tls}\n"
                                       "  - {address: \"127.0.0.1:3\", kind: tls}\n"
                                       "  - {address: \"127.0.0.2:3\", kind: tls}\n");
    conf_release(&conf);
}

static void listeners_without_previews(void **state)
{
    (void)state;
    fixture_doubtful(DOMAIN "public_port: 443\nlisteners: [{address: \"127.0.0.1:1\", kind: health}]\n",
                     "e.yaml:3:12: warning: listeners: no listener carries previews; add one of the kind tls "
                     "(or plain)\n");
    conf_t *conf =
        fixture_good(DOMAIN "public_port: 443\nlisteners: [{address: \"127.0.0.1:1\", kind: plain}]\n");
    assert_int_equal(conf->public_port, 443);
    conf_release(&conf);
}

static void public_ports(void **state)
{
    (void)state;
    conf_t *conf =
        fixture_good(DOMAIN "listeners: [{address: \"127.0.0.1:80\", kind: redirect}, {address: "
                            "\"127.0.0.1:8443\", kind: tls}, {address: \"127.0.0.1:9443\", kind: tls}]\n");
    assert_int_equal(conf->public_port, 8443);
    conf_release(&conf);
    fixture_bad(DOMAIN "listeners: [{address: \"127.0.0.1:80\", kind: plain}]\n",
                "e.yaml:1:1: public_port: has no default here: no listener is of the kind tls; set it\n");
    /* One error is not reported as two. */
    fixture_bad(
        DOMAIN "listeners: [{address: \"127.0.0.1:0\", kind: tls}]\n",
        "e.yaml:2:23: listeners[0].address: \"127.0.0.1:0\" has a port that is not a number from 1 to 65535; "
        "allowed: an address with a port, such as 0.0.0.0:443 or [::]:443\n");
    fixture_bad(DOMAIN "public_port: 0\nlisteners: [{address: \"127.0.0.1:80\", kind: plain}]\n",
                "e.yaml:2:14: public_port: \"0\" is too small; allowed: a whole number from 1 to 65535\n");
}

static void unused_certificates(void **state)
{
    (void)state;
    fixture_doubtful(
        DOMAIN "public_port: 443\nlisteners: [{address: \"127.0.0.1:1\", kind: plain}]\n"
               "certificates: [{chain: /c, key: /k}]\n",
        "e.yaml:4:15: warning: certificates: no listener is of the kind tls; the certificates are not "
        "used\n");
}

static void everybody_trusted(void **state)
{
    (void)state;
    fixture_doubtful(
        BASE "trusted_proxies: [0.0.0.0/1, 0.0.0.0/0, \"::/1\", {network: \"::/0\"}]\n",
        "e.yaml:3:30: warning: trusted_proxies: this trusts every client to name its own address\n"
        "e.yaml:3:49: warning: trusted_proxies: this trusts every client to name its own address\n");
    fixture_bad(BASE "trusted_proxies: [\"\"]\n",
                "e.yaml:3:19: trusted_proxies[0]: \"\" is not a numeric address or "
                "network; allowed: a network such as 10.0.0.0/8 or fd00::/8\n");
    fixture_bad(
        BASE "trusted_proxies: [{network: 10.0.0.1, client_field: x-real-ip}, {}]\n",
        "e.yaml:3:53: trusted_proxies[0].client_field: \"x-real-ip\" is none of the choices; allowed: "
        "`X-Forwarded-For`, `Forwarded`, `X-Real-IP` or `CF-Connecting-IP`\n"
        "e.yaml:3:65: trusted_proxies[1].network: is missing; needed: a network such as 10.0.0.0/8 or "
        "fd00::/8\n");
}

static void ipv4_beside_ipv6(void **state)
{
    (void)state;
    conf_t *conf = fixture_good(DOMAIN "listeners:\n  - {address: \"[::]:1\", kind: tls, ipv4: true}\n"
                                       "  - {address: \"0.0.0.0:2\", kind: plain}\n");
    assert_true(conf->listeners[0].ipv4);
    assert_false(conf->listeners[1].ipv4);
    conf_release(&conf);
    fixture_bad(
        DOMAIN "listeners:\n  - {address: \"[::]:1\", kind: tls, ipv4: true}\n"
               "  - {address: \"127.0.0.1:1\", kind: plain}\n",
        "e.yaml:4:15: listeners[1].address: 127.0.0.1:1 conflicts with [::]:1 in line 3: one of the two "
        "takes this port at all addresses; remove one, or use another port\n");
    fixture_bad(DOMAIN "listeners:\n  - {address: \"[::1]:1\", kind: tls, ipv4: true}\n"
                       "  - {address: \"0.0.0.0:2\", kind: tls, ipv4: true}\n",
                "e.yaml:3:43: listeners[0].ipv4: is for a listener at [::]\n"
                "e.yaml:4:45: listeners[1].ipv4: is for a listener at [::]\n");
}

/* Only a listener that does not terminate TLS can have another server do so, and only proxies may declare it.
 *  */
static void tls_terminated(void **state)
{
    (void)state;
    conf_t *conf = fixture_good(DOMAIN "trusted_proxies: [10.0.0.1]\nlisteners: [{address: \"127.0.0.1:1\", "
                                       "kind: plain, tls_terminated: true}]\n");
    assert_int_equal(conf->public_port, 443);
    conf_release(&conf);
    fixture_doubtful(DOMAIN "listeners: [{address: \"127.0.0.1:1\", kind: plain, tls_terminated: true}]\n",
                     "e.yaml:2:67: warning: listeners.tls_terminated: trusted_proxies is empty, so no "
                     "request counts as https\n");
    fixture_bad(
        DOMAIN "trusted_proxies: [10.0.0.1]\n"
               "listeners: [{address: \"127.0.0.1:1\", kind: tls, tls_terminated: true}]\n",
        "e.yaml:3:65: listeners[0].tls_terminated: is for a listener of the kind plain, behind a proxy "
        "that speaks TLS\n");
}

static void admin_socket_length(void **state)
{
    (void)state;
    char text[512];
    char path[256];
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    snprintf(text, sizeof(text), BASE "admin: {socket: %.107s}\n", path);
    conf_t *conf = fixture_good(text);
    assert_int_equal(strlen(conf->admin_socket), 107);
    conf_release(&conf);

    char wanted[512];
    snprintf(text, sizeof(text), BASE "admin: {socket: %.108s}\n", path);
    snprintf(wanted, sizeof(wanted),
             "e.yaml:3:17: admin.socket: \"%.80s...\" is 108 characters long; allowed: at most 107, the "
             "system's bound "
             "for sockets\n",
             path);
    fixture_bad(text, wanted);
    /* The default is as long as run_dir makes it. */
    snprintf(text, sizeof(text), BASE "run_dir: %.96s\n", path);
    conf = fixture_good(text);
    conf_release(&conf);
    snprintf(text, sizeof(text), BASE "run_dir: %.97s\n", path);
    snprintf(wanted, sizeof(wanted),
             "e.yaml:3:10: admin.socket: \"%.80s...\" is 108 characters long; allowed: at most 107, the "
             "system's bound "
             "for sockets\n",
             path);
    fixture_bad(text, wanted);
}

static void store_map_sizes(void **state)
{
    (void)state;
    conf_t *conf = fixture_good(BASE "store: {map_size: 1052672}\n"); /* 1 MiB and 4 KiB */
    assert_int_equal(conf->store_map_bytes, 1052672);
    conf_release(&conf);
    fixture_bad(
        BASE "store: {map_size: 1048577}\n",
        "e.yaml:3:19: store.map_size: is 1048577 bytes, which is no multiple of 4KiB; allowed: a multiple of "
        "4KiB\n");
}

static void box_addresses(void **state)
{
    (void)state;
    fixture_bad(
        BASE "boxes:\n"
             "  - {id: a, address: 169.254.169.254}\n"
             "  - {id: b, address: \"[::]\"}\n"
             "  - {id: c, address: 0.0.0.0:1}\n"
             "  - {id: d, address: 224.0.0.1}\n"
             "  - {id: e, address: \"127.0.0.1:8443\"}\n"
             "  - {id: f, address: \"[fe80::1]:1\"}\n",
        "e.yaml:4:22: boxes[0].address: 169.254.169.254 is a link-local address; allowed: an address where "
        "one "
        "box can be\n"
        "e.yaml:5:22: boxes[1].address: [::] is the unspecified address; allowed: an address where one box "
        "can "
        "be\n"
        "e.yaml:6:22: boxes[2].address: 0.0.0.0:1 is in 0.0.0.0/8, which is no host's address; allowed: an "
        "address where one box can be\n"
        "e.yaml:7:22: boxes[3].address: 224.0.0.1 is a multicast address; allowed: an address where one box "
        "can "
        "be\n"
        "e.yaml:8:22: boxes[4].address: 127.0.0.1:8443 is a listener of the edge itself; allowed: another "
        "address\n"
        "e.yaml:9:22: boxes[5].address: [fe80::1]:1 is a link-local address; allowed: an address where one "
        "box "
        "can be\n");
    /* A box's address may be loopback if its port is none of the edge's. */
    conf_t *conf =
        fixture_good(BASE "boxes: [{id: a, address: 127.0.0.1}, {id: b, address: \"127.0.0.1:8444\"}]\n");
    conf_release(&conf);
    fixture_bad(
        "preview_domain: p.example\nlisteners: [{address: \"[::]:8443\", kind: tls}]\n"
        "boxes: [{id: a, address: \"127.0.0.2:8443\"}]\n",
        "e.yaml:3:26: boxes[0].address: 127.0.0.2:8443 is a listener of the edge itself; allowed: another "
        "address\n");
}

static void failure_details(void **state)
{
    (void)state;
    conf_t *conf = fixture_good(BASE);
    assert_int_equal(conf->failure_details, CONF_DETAILS_EVERYONE);
    conf_release(&conf);
    conf = fixture_good(BASE "failure_details: authenticated\n");
    assert_int_equal(conf->failure_details, CONF_DETAILS_AUTHENTICATED);
    conf_release(&conf);
    conf = fixture_good(BASE "failure_details: nobody\n");
    assert_int_equal(conf->failure_details, CONF_DETAILS_NOBODY);
    conf_release(&conf);
    fixture_bad(BASE "failure_details: all\n", "e.yaml:3:18: failure_details: \"all\" is none of the "
                                               "choices; allowed: `everyone`, `authenticated` or `nobody`\n");
}

static void box_ids_given_twice(void **state)
{
    (void)state;
    fixture_bad(BASE "boxes:\n"
                     "  - {id: b, address: 10.0.0.1}\n"
                     "  - {id: a, address: 10.0.0.1}\n"
                     "  - {id: b, address: 10.0.0.2}\n"
                     "  - {id: \"\", address: 10.0.0.3}\n"
                     "  - {id: \"\", address: 10.0.0.3}\n",
                "e.yaml:6:10: boxes[2].id: \"b\" is given twice, first in line 4; give each id once\n"
                "e.yaml:7:10: boxes[3].id: \"\" is not a box id; allowed: 1 to 57 of a-z, 0-9, `-` and `_`, "
                "the first "
                "and the last a letter or digit\n"
                "e.yaml:8:10: boxes[4].id: \"\" is not a box id; allowed: 1 to 57 of a-z, 0-9, `-` and `_`, "
                "the first "
                "and the last a letter or digit\n");
}

#define PROCESS "processes:\n  - {id: web, command: run, ports: [3000]"

static void processes(void **state)
{
    (void)state;
    conf_t *conf = fixture_good(
        BASE PROCESS "}\n  - {id: b, command: [a, \"\", 'x y'], ports: [1, 65535], idle: 0, "
                     "idle_action: freeze, keep_alive: true, user: www, directory: sub, "
                     "environment: [A=, _b1=c=d], previews: [{port: 1}, {port: 65535, access: public}]}\n");
    const conf_process_t *web = &conf->processes[0], *b = &conf->processes[1];
    assert_int_equal(conf->process_count, 2);
    assert_string_equal(web->id, "web");
    assert_int_equal(web->command_count, 1);
    assert_string_equal(web->command[0], "run");
    assert_int_equal(web->ports[0], 3000);
    assert_int_equal(web->preview_count, 0);
    assert_int_equal(b->preview_count, 2);
    assert_int_equal(b->previews[0].port, 1);
    assert_int_equal(b->previews[0].access, CONF_ACCESS_BEARER);
    assert_int_equal(b->previews[1].port, 65535);
    assert_int_equal(b->previews[1].access, CONF_ACCESS_PUBLIC);
    assert_int_equal(web->idle, 30 * 60 * 1000);
    assert_int_equal(web->idle_action, CONF_IDLE_STOP);
    assert_false(web->keep_alive);
    assert_string_equal(web->directory, "/srv");
    assert_string_equal(web->user, "");
    assert_int_equal(b->command_count, 3);
    assert_string_equal(b->command[1], "");
    assert_string_equal(b->command[2], "x y");
    assert_int_equal(b->port_count, 2);
    assert_int_equal(b->ports[1], 65535);
    assert_int_equal(b->idle, 0);
    assert_int_equal(b->idle_action, CONF_IDLE_FREEZE);
    assert_true(b->keep_alive);
    assert_string_equal(b->directory, "/srv/sub");
    assert_int_equal(b->environment_count, 2);
    assert_string_equal(b->environment[1], "_b1=c=d");
    conf_release(&conf);
}

static void processes_that_are_wrong(void **state)
{
    (void)state;
    fixture_bad(BASE PROCESS "}\nboxes:\n  - {id: web, address: 10.0.0.1}\n",
                "e.yaml:4:10: processes[0].id: \"web\" is given twice, first in line 6; give each id once\n");
    fixture_bad(BASE PROCESS ", user: root}\n", "e.yaml:4:50: processes[0].user: is root; allowed: another "
                                                "user, since visitors of the preview talk to this process\n");
    fixture_bad(
        BASE "processes: [{id: a, command: x, ports: [8443]}]\n",
        "e.yaml:3:40: processes[0].ports: 8443 is the port of a listener of the edge itself; allowed: "
        "another\n");
    fixture_bad(
        BASE "processes: [{id: a, command: x, ports: [0, 1, 1, a, 65536]}]\n",
        "e.yaml:3:41: processes[0].ports[0]: \"0\" is not a port; allowed: a list of 1 to 16 ports from 1 "
        "to 65535, each once\n"
        "e.yaml:3:47: processes[0].ports[2]: \"1\" is given twice; allowed: a list of 1 to 16 ports from 1 "
        "to 65535, each once\n"
        "e.yaml:3:50: processes[0].ports[3]: \"a\" is not a port; allowed: a list of 1 to 16 ports from 1 "
        "to 65535, each once\n"
        "e.yaml:3:53: processes[0].ports[4]: \"65536\" is not a port; allowed: a list of 1 to 16 ports "
        "from 1 to 65535, each once\n");
    fixture_bad(
        BASE PROCESS ", previews: [{port: 3001}]}\n",
        "e.yaml:4:62: processes[0].previews[0].port: 3001 is no port of this box; allowed: one of its "
        "ports\n");
    fixture_bad(
        BASE PROCESS ", previews: [x]}\n  - :80\n",
        "e.yaml:4:55: processes[0].previews[0]: is a single value; allowed: a map with the keys port, "
        "access\n"
        "e.yaml:5:5: processes[1]: is a single value; allowed: a map with the keys id, command, "
        "directory, environment, ports, previews, start_timeout, idle, idle_action, keep_alive, user\n");
    fixture_bad(BASE PROCESS ", previews: [{port: 3000}, {port: 3000, access: public}]}\n",
                "e.yaml:4:76: processes[0].previews[1].port: 3000 is given twice, first in line 4; give each "
                "port once\n");
    fixture_bad(BASE PROCESS ", previews: [{port: 3000, access: open}]}\n",
                "e.yaml:4:76: processes[0].previews[0].access: \"open\" is none of the choices; allowed: "
                "`bearer`, `basic` or `public`\n");
    fixture_bad(BASE "processes: [{id: a, command: \"\", ports: [1]}]\n",
                "e.yaml:3:30: processes[0].command: is empty; allowed: a program\n");
    fixture_bad(
        BASE "processes: [{id: a, command: x, ports: []}]\n",
        "e.yaml:3:40: processes[0].ports: has 0 elements; allowed: a list of 1 to 16 ports from 1 to 65535, "
        "each once\n");
    fixture_bad(
        BASE "processes: [{id: a, command: x, ports: [1], environment: [1=a, A, =]}]\n",
        "e.yaml:3:59: processes[0].environment[0]: \"1=a\" does not begin with a name of letters, digits "
        "and \"_\"; allowed: a list of at most 256 strings such as NAME=value\n"
        "e.yaml:3:64: processes[0].environment[1]: \"A\" has no \"=\" after its name; allowed: a list of at "
        "most 256 strings such as NAME=value\n"
        "e.yaml:3:67: processes[0].environment[2]: \"=\" does not begin with a name of letters, digits and "
        "\"_\"; allowed: a list of at most 256 strings such as NAME=value\n");
}

static void control_planes(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        const char *why;
    } wrong[] = {{"ftp://a", "does not begin with http:// or https://"},
                 {"https://", "has no host"},
                 {"https:///a", "has no host"},
                 {"https://u:p@a", "contains a user; a URL takes no password"},
                 {"https://a/?b", "has a query or a fragment"},
                 {"https://a#b", "has a query or a fragment"},
                 {"https://a b", "has a character that is not allowed in URLs"},
                 {"https://a/", "ends with a slash"}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char text[512], sentence[512];
        snprintf(text, sizeof(text), BASE "control_plane: {url: \"%s\"}\n", wrong[i].url);
        snprintf(sentence, sizeof(sentence),
                 "e.yaml:3:22: control_plane.url: \"%s\" %s; allowed: a URL with http or https, such as "
                 "https://control.example.com/v1, or \"\" for none\n",
                 wrong[i].url, wrong[i].why);
        fixture_bad(text, sentence);
    }
    fixture_doubtful(BASE "control_plane: {url: \"http://a.example\", token_file: t}\n",
                     "e.yaml:3:22: warning: control_plane.url: is not https, so anyone on the network path "
                     "can read the token that the edge sends\n");
    static const char *const far[] = {"127.evil.example", "localhost.evil.example", "[::1", "[::2]",
                                      "128.0.0.1:80"};
    for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
        char text[512];
        snprintf(text, sizeof(text), BASE "control_plane: {url: \"http://%s\", token_file: t}\n", far[i]);
        fixture_doubtful(text, "e.yaml:3:22: warning: control_plane.url: is not https, so anyone on the "
                               "network path can read the token that the edge sends\n");
    }
    static const char *const near[] = {"localhost", "localhost:8080/v1", "127.9.9.9", "[::1]:80"};
    for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++) {
        char text[512];
        snprintf(text, sizeof(text), BASE "control_plane: {url: \"http://%s\", token_file: t}\n", near[i]);
        conf_t *fine = fixture_good(text);
        conf_release(&fine);
    }
    conf_t *conf = fixture_good(BASE "control_plane: {url: \"http://127.0.0.1:1/x\", token_file: t}\n");
    assert_string_equal(conf->control_plane.token_file, "/srv/t");
    assert_int_equal(conf->control_plane.timeout, 10000);
    conf_release(&conf);
}

static void origins_allowed(void **state)
{
    (void)state;
    conf_t *conf = fixture_good(BASE "origins: {allow: [192.0.2.0/24]}\n");
    assert_int_equal(conf->origin_count, 1);
    conf_release(&conf);
    fixture_doubtful(
        BASE "origins: {allow: [127.0.0.5]}\n",
        "e.yaml:3:19: warning: origins.allow: has addresses of 127.0.0.0/8 in it; the edge never connects "
        "to those for a box\n");
    fixture_doubtful(
        BASE "origins: {allow: [\"fe80::/64\"]}\n",
        "e.yaml:3:19: warning: origins.allow: has addresses of fe80::/10 in it; the edge never connects to "
        "those for a box\n");
}

static void expect_dirs(const conf_environment_t *env, const char *more, const char *state_dir,
                        const char *run_dir)
{
    char text[512];
    snprintf(text, sizeof(text), BASE "%s", more);
    char *printed;
    conf_t *conf = fixture_parse_in(env, str_from(text), &printed);
    assert_string_equal(printed, "");
    assert_string_equal(conf->state_dir, state_dir);
    assert_string_equal(conf->run_dir, run_dir);
    assert_int_equal(strncmp(conf->admin_socket, run_dir, strlen(run_dir)), 0);
    assert_string_equal(conf->admin_socket + strlen(run_dir), "/admin.sock");
    free(printed);
    conf_release(&conf);
}

static void default_directories(void **state)
{
    (void)state;
    conf_environment_t env = fixture_environment();
    expect_dirs(&env, "", "/home/op/.local/state/boxedge", "/home/op/.local/state/boxedge/run");
    expect_dirs(&env, "state_dir: /s\n", "/s", "/s/run");
    strncpy(env.xdg_state_home, "/xdg", sizeof(env.xdg_state_home));
    expect_dirs(&env, "", "/xdg/boxedge", "/xdg/boxedge/run");
    strncpy(env.xdg_runtime_dir, "/run/user/7", sizeof(env.xdg_runtime_dir));
    expect_dirs(&env, "", "/xdg/boxedge", "/run/user/7/boxedge");
    expect_dirs(&env, "state_dir: s\nrun_dir: ../r\n", "/srv/s", "/srv/../r");
    env.root = true;
    expect_dirs(&env, "", "/var/lib/boxedge", "/run/boxedge");

    env = fixture_environment();
    memset(env.home, 0, sizeof(env.home));
    fixture_expect_in(&env, BASE, false,
                      "e.yaml:1:1: state_dir: has no default here: HOME is not set; set it\n");
    expect_dirs(&env, "state_dir: /s\n", "/s", "/s/run");
    fixture_expect_in(&env, BASE "state_dir: [1]\n", false,
                      "e.yaml:3:12: state_dir: is a list; allowed: a path\n");
}

static void default_node(void **state)
{
    (void)state;
    conf_environment_t env = fixture_environment();
    strncpy(env.host_name, "not a name", sizeof(env.host_name));
    fixture_expect_in(&env, BASE, false,
                      "e.yaml:1:1: node: has no default here: the host name is not usable as one; set it\n");
    fixture_expect_in(&env, BASE "node: n\n", true, "");
}

static void this_process(void **state)
{
    (void)state;
    conf_environment_t env;
    conf_environment_read(&env);
    assert_true(env.cpus >= 1);
    assert_int_equal(env.cwd[0], '/');
    conf_errors_t *errors = conf_errors_new();
    conf_t *conf =
        conf_parse("/x/e.yaml", STR(BASE "state_dir: /s\nnode: n\nlog: {access: a.log}\n"), errors);
    assert_non_null(conf);
    assert_int_equal(conf->workers, env.cpus);
    assert_string_equal(conf->access_log, "/x/a.log");
    conf_release(&conf);
    conf = conf_parse("/e.yaml", STR(BASE "state_dir: /s\nnode: n\nlog: {access: a.log}\n"), errors);
    assert_string_equal(conf->access_log, "/a.log");
    conf_release(&conf);
    conf_errors_free(&errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listeners_given_twice),
        cmocka_unit_test(listeners_without_previews),
        cmocka_unit_test(public_ports),
        cmocka_unit_test(unused_certificates),
        cmocka_unit_test(everybody_trusted),
        cmocka_unit_test(ipv4_beside_ipv6),
        cmocka_unit_test(tls_terminated),
        cmocka_unit_test(admin_socket_length),
        cmocka_unit_test(store_map_sizes),
        cmocka_unit_test(box_addresses),
        cmocka_unit_test(processes),
        cmocka_unit_test(processes_that_are_wrong),
        cmocka_unit_test(control_planes),
        cmocka_unit_test(origins_allowed),
        cmocka_unit_test(failure_details),
        cmocka_unit_test(box_ids_given_twice),
        cmocka_unit_test(default_directories),
        cmocka_unit_test(default_node),
        cmocka_unit_test(this_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
