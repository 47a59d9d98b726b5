#include "commands.h"

#include <assert.h>

#include "box_id.h"
#include "cli_words.h"

static int usage(FILE *out, int status)
{
    fprintf(
        out,
        "usage: boxedge preview create BOX PORT [OPTION]...  make a port of a box public\n"
        "       boxedge preview update BOX PORT [OPTION]...  change the given options, and keep the rest\n"
        "       boxedge preview list [OPTION]...             show the previews\n"
        "       boxedge preview delete BOX PORT [OPTION]...  delete a preview\n"
        "       boxedge preview link create BOX PORT [OPTION]...  make a link for one person\n"
        "       boxedge preview link list BOX [PORT]         show the links of a box, and their last use\n"
        "       boxedge preview link revoke ID               end a link, its sessions and WebSockets\n\n"
        "Creating an existing preview replaces it and its credentials; a preview that asks for\n"
        "credentials becomes public only with --public. When a command ends, its change is in force\n"
        "on every worker and on disk.\n\n"
        "  --host-header auto|public|localhost|localhost-bare\n"
        "                     the Host that the app gets: the public one, or localhost:PORT for\n"
        "                     dev servers that accept no other; bare leaves out the fields that\n"
        "                     name the public host, for apps that compare. auto tries them in\n"
        "                     this order when an app refuses its host, but only while the\n"
        "                     preview asks for credentials. Default: auto for such previews of\n"
        "                     process and docker boxes, else public (create, update)\n"
        "  --protocol http1|h2c\n"
        "                     the app's protocol: HTTP/1.1 (default), or HTTP/2 without TLS, as\n"
        "                     gRPC servers use (create, update)\n"
        "  --bearer           ask for a token, which is made and shown now, only once (create,\n"
        "                     update)\n"
        "  --basic            ask for a user and password, made and shown now, only once. With\n"
        "                     --bearer, either is accepted. With neither, the preview is public\n"
        "                     (create, update)\n"
        "  --no-bearer        stop accepting its token (update)\n"
        "  --no-basic         stop accepting its user and password (update)\n"
        "  --public           let everyone see it, even if it asked for credentials before (create,\n"
        "                     update)\n"
        "  --alias NAME       use NAME in place of the box's id in the URL, for apps that refuse host\n"
        "                     names with an underscore: letters, digits and -, and not the id or\n"
        "                     alias of another box (create)\n"
        "  --expires 2h       delete it after this time (s, m, h or d), or never (create, update); a\n"
        "                     link ends after 24h (link create; at most 366d)\n"
        "  --label TEXT       your note, shown in lists and on the sign-in page (create, update, link\n"
        "                     create)\n"
        "  --path /x          the address that the link opens (link create)\n"
        "  --once             the link opens once, by a button (link create)\n"
        "  --read-only        the link allows GET, HEAD and OPTIONS only, and no WebSockets (link create)\n"
        "  --allow-websocket  with --read-only: the link allows WebSockets (link create)\n"
        "  --allow-origin URL let pages of this origin, such as https://app.example, use a\n"
        "                     visitor's session; may be given several times; none: no other\n"
        "                     (create, update)\n"
        "  --background-wakes once|always\n"
        "                     how often an open page may wake its sleeping box by itself: once\n"
        "                     (default), or each time (create, update)\n"
        "  --kill-tunnels     end the WebSockets that are already open (create, update, delete)\n"
        "  --box BOX          show only the previews of one box (list)\n"
        "  --json             print JSON instead of text\n");
    fputs(cli_common_help, out);
    return status;
}

/* Check the parts of a path of the admin API; the edge checks all else. */
static bool take_box(const char *text, const char **box)
{
    *box = text;
    if (!box_id_valid(str_from(text)))
        fprintf(stderr,
                "boxedge: \"%s\" is not a box id: 1 to 57 of a-z 0-9 - _, a letter or digit at both ends\n",
                text);
    return box_id_valid(str_from(text));
}

static bool take_port(const char *text, unsigned *port)
{
    uint64_t number;
    if (!str_to_uint(str_from(text), 65535, &number) || number == 0) {
        fprintf(stderr, "boxedge: \"%s\" is not a port: a number from 1 to 65535\n", text);
        return false;
    }
    *port = (unsigned)number;
    return true;
}

static bool take_box_and_port(const cli_t *cli, const char **box, unsigned *port)
{
    return take_box(cli->args[1], box) && take_port(cli->args[2], port);
}

/* "90s", "15m", "2h" or "3d" in seconds; 0 if malformed. */
static json_int_t seconds_of(const char *text)
{
    static const struct {
        char unit;
        json_int_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    size_t n = strlen(text);
    uint64_t number;
    if (n < 2 || !str_to_uint(str_make(text, n - 1), 1000000000, &number))
        return 0;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (text[n - 1] == units[i].unit)
            return (json_int_t)number * units[i].seconds;
    return 0;
}

/* Sets the text `name` of a request, if given. False if it is not UTF-8. */
static bool set_text(json_t *body, const char *name, const char *text)
{
    return text == NULL || json_object_set_new(body, name, json_string(text)) == 0;
}

/* Sets --expires, if given; false if malformed. `never`: its value for "never", or NULL. */
static bool set_expiry(json_t *body, const char *text, json_t *never)
{
    if (text == NULL || strcmp(text, "never") == 0) {
        if (text != NULL && never != NULL)
            json_object_set(body, "expires_in", never);
        return true;
    }
    json_int_t seconds = seconds_of(text);
    return seconds != 0 && json_object_set_new(body, "expires_in", json_integer(seconds)) == 0;
}

/* Sets --allow-origin, if given; "none" is not an item, so that it empties the list. */
static void set_origins(json_t *body, const cli_t *cli)
{
    if (cli->origin_count == 0)
        return;
    json_t *origins = json_array();
    for (size_t i = 0; i < cli->origin_count; i++)
        if (strcmp(cli->origins[i], "none") != 0)
            json_array_append_new(origins, json_string(cli->origins[i]));
    json_object_set_new(body, "allow_origins", origins);
}

/* Sets the given options of create and update. Returns the error in one of them, or NULL. */
static const char *set_options(json_t *body, const cli_t *cli)
{
    if (cli->bearer || cli->no_bearer)
        json_object_set_new(body, "bearer", json_boolean(cli->bearer));
    if (cli->basic || cli->no_basic)
        json_object_set_new(body, "basic", json_boolean(cli->basic));
    if (cli->open)
        json_object_set_new(body, "public", json_true());
    if (cli->kill_tunnels)
        json_object_set_new(body, "kill_tunnels", json_true());
    if (!set_text(body, "host_header", cli->host_header))
        return "--host-header takes auto, public, localhost or localhost-bare";
    if (!set_text(body, "protocol", cli->protocol))
        return "--protocol takes http1 or h2c";
    if (!set_text(body, "background_wakes", cli->background_wakes))
        return "--background-wakes takes once or always";
    if (!set_text(body, "label", cli->label))
        return "--label takes plain text";
    bool updates = strcmp(cli->args[0], "update") == 0;
    if (!set_expiry(body, cli->expires, updates ? json_null() : NULL))
        return "--expires takes a time such as 90s, 15m, 2h or 3d, or never";
    set_origins(body, cli);
    return NULL;
}

/* Returns `body` with the options. Or NULL after an error on stderr, with `body` released. */
static json_t *with_options(json_t *body, const cli_t *cli)
{
    const char *wrong = set_options(body, cli);
    if (wrong == NULL)
        return body;
    fprintf(stderr, "boxedge: %s\n", wrong);
    json_decref(body);
    return NULL;
}

static void print_secrets(const json_t *answer)
{
    const char *token = json_string_value(json_object_get(answer, "token"));
    const char *password = json_string_value(json_object_get(answer, "password"));
    if (token != NULL)
        printf("token:    %s\n", token);
    if (password != NULL)
        printf("user:     %s\npassword: %s\n", cli_text(answer, "username"), password);
    if (token != NULL || password != NULL)
        fprintf(stderr, "This is shown only now: the edge keeps only a hash of it.\n");
}

static void print_created(const json_t *answer)
{
    printf("%s\n", cli_text(answer, "url"));
    print_secrets(answer);
}

/* RFC 952 and RFC 1123 forbid '_' in host names; browsers accept it, frameworks do not. */
static void warn_of_underscore(const char *box, unsigned port)
{
    fprintf(stderr,
            "boxedge: the host name %s-%u has an underscore: Django, Rails and others refuse such hosts.\n"
            "         Use --alias NAME to put another name in place of the box's id.\n",
            box, port);
}

static int create(const cli_t *cli)
{
    const char *box;
    unsigned port;
    if (!take_box_and_port(cli, &box, &port))
        return CLI_USAGE;
    json_t *body = with_options(json_pack("{s:s,s:i}", "box", box, "port", (int)port), cli);
    if (body == NULL)
        return CLI_USAGE;
    if (!set_text(body, "alias", cli->alias)) {
        fprintf(stderr, "boxedge: --alias takes letters, digits and -\n");
        json_decref(body);
        return CLI_USAGE;
    }
    if (cli->alias == NULL && strchr(box, '_') != NULL)
        warn_of_underscore(box, port);
    return cli_show(cli, "POST", "/v1/previews", body, print_created);
}

static void print_updated(const json_t *answer)
{
    printf("The preview %s-%lld is changed.\n", cli_text(answer, "box"), cli_number(answer, "port"));
    print_secrets(answer);
}

static int update(const cli_t *cli)
{
    const char *box;
    unsigned port;
    char target[128];
    if (!take_box_and_port(cli, &box, &port))
        return CLI_USAGE;
    json_t *body = with_options(json_object(), cli);
    if (body != NULL && json_object_size(body) == 0) {
        fprintf(stderr, "boxedge preview update: give an option to change, such as --label TEXT\n");
        json_decref(body);
        return CLI_USAGE;
    }
    int n = snprintf(target, sizeof target, "/v1/previews/%s/%u", box, port);
    assert(n > 0 && (size_t)n < sizeof target);
    return body != NULL ? cli_show(cli, "PATCH", target, body, print_updated) : CLI_USAGE;
}

static void print_deleted(const json_t *answer)
{
    printf("The preview %s-%lld is deleted.\n", cli_text(answer, "box"), cli_number(answer, "port"));
}

static int delete (const cli_t *cli)
{
    const char *box;
    unsigned port;
    if (!take_box_and_port(cli, &box, &port))
        return CLI_USAGE;
    char target[128];
    int n = snprintf(target, sizeof target, "/v1/previews/%s/%u%s", box, port,
                     cli->kill_tunnels ? "?kill_tunnels=1" : "");
    assert(n > 0 && (size_t)n < sizeof target);
    return cli_show(cli, "DELETE", target, NULL, print_deleted);
}

/* ---- list ---- */

/* "public", "bearer", "basic" or "either". */
static const char *access_of(const json_t *preview)
{
    bool bearer = json_is_true(json_object_get(preview, "bearer_token"));
    bool basic = json_is_true(json_object_get(preview, "basic_auth"));
    if (bearer && basic)
        return "either";
    return bearer ? "bearer" : basic ? "basic" : "public";
}

/* "localhost", or "auto (localhost)". */
static void host_of(const json_t *preview, char *out, size_t n)
{
    const char *found = json_string_value(json_object_get(preview, "host_header_found"));
    const char *mode = cli_text(preview, "host_header");
    if (found != NULL)
        snprintf(out, n, "%.20s (%.20s)", mode, found);
    else
        snprintf(out, n, "%.20s", mode);
}

static void print_rows(const json_t *previews, bool first)
{
    size_t i;
    json_t *preview;
    if (first)
        printf("%-24s  %5s  %-6s  %-8s  %-21s  %-16s  %-8s  %s\n", "BOX", "PORT", "ACCESS", "PROTOCOL",
               "HOST", "CREATED (UTC)", "EXPIRES", "URL AND LABEL");
    json_array_foreach(previews, i, preview)
    {
        char when[32], left[32], host[48];
        const char *label = json_string_value(json_object_get(preview, "label"));
        cli_time(preview, "created_at", when);
        cli_left(preview, left);
        host_of(preview, host, sizeof host);
        printf("%-24s  %5lld  %-6s  %-8s  %-21s  %-16s  %-8s  %s%s%s\n", cli_text(preview, "box"),
               cli_number(preview, "port"), access_of(preview), cli_text(preview, "protocol"), host, when,
               left, cli_text(preview, "url"), label != NULL ? "  " : "", label != NULL ? label : "");
    }
}

/* Prints JSON as one array, page by page. */
static void print_json_rows(const json_t *previews, bool first)
{
    size_t i;
    json_t *preview;
    json_array_foreach(previews, i, preview)
    {
        fputs(first && i == 0 ? "{\"previews\":[" : ",", stdout);
        json_dumpf(preview, stdout, JSON_COMPACT);
    }
    if (first && json_array_size(previews) == 0)
        fputs("{\"previews\":[", stdout);
}

/* Prints a page, and sets `target` to the next one. Returns false without one. */
static bool print_page(const cli_t *cli, const json_t *answer, bool first, char *target, size_t target_len)
{
    const json_t *previews = json_object_get(answer, "previews");
    const char *next = json_string_value(json_object_get(answer, "next"));
    if (cli->json)
        print_json_rows(previews, first);
    else if (first && json_array_size(previews) == 0)
        printf("No previews. Make one with: boxedge preview create BOX PORT\n");
    else
        print_rows(previews, first);
    if (next == NULL)
        return false;
    int n = snprintf(target, target_len, "/v1/previews?from=%s%s%s", next, cli->box != NULL ? "&box=" : "",
                     cli->box != NULL ? cli->box : "");
    return n > 0 && (size_t)n < target_len;
}

static int list(const cli_t *cli)
{
    char target[256] = "/v1/previews";
    if (cli->box != NULL) {
        if (!box_id_valid(str_from(cli->box))) {
            fprintf(stderr, "boxedge: \"%s\" is not a box id\n", cli->box);
            return CLI_USAGE;
        }
        snprintf(target, sizeof target, "/v1/previews?box=%s", cli->box);
    }
    bool more = true;
    for (bool first = true; more; first = false) {
        json_t *answer;
        int status = cli_request(cli, "GET", target, NULL, &answer);
        if (status != CLI_OK)
            return status;
        more = print_page(cli, answer, first, target, sizeof target);
        json_decref(answer);
    }
    if (cli->json)
        fputs("]}\n", stdout);
    return CLI_OK;
}

/* ---- links ---- */

static void print_link(const json_t *answer)
{
    char left[32];
    cli_left(answer, left);
    printf("%s\n", cli_text(answer, "url"));
    fprintf(
        stderr,
        "The link %s opens this preview for %s. It is shown only now: the edge keeps only a hash of it.\n",
        cli_text(answer, "id"), left);
}

static json_t *link_wish(const cli_t *cli, const char *box, unsigned port, json_int_t seconds)
{
    json_t *body = json_pack("{s:s,s:i}", "box", box, "port", (int)port);
    assert(body != NULL);
    if (seconds != 0)
        json_object_set_new(body, "expires_in", json_integer(seconds));
    if (cli->once)
        json_object_set_new(body, "once", json_true());
    if (cli->read_only)
        json_object_set_new(body, "read_only", json_true());
    if (cli->allow_websocket)
        json_object_set_new(body, "allow_websocket", json_true());
    if ((cli->label != NULL && json_object_set_new(body, "label", json_string(cli->label)) != 0) ||
        (cli->path != NULL && json_object_set_new(body, "path", json_string(cli->path)) != 0)) {
        fprintf(stderr, "boxedge: --label and --path take plain text\n");
        json_decref(body);
        return NULL;
    }
    return body;
}

static int link_create(const cli_t *cli, const char *box, unsigned port, json_int_t seconds)
{
    json_t *body = link_wish(cli, box, port, seconds);
    return body != NULL ? cli_show(cli, "POST", "/v1/links", body, print_link) : CLI_USAGE;
}

static const char *link_kind(const json_t *link)
{
    bool once = json_is_true(json_object_get(link, "once"));
    bool reads = json_is_true(json_object_get(link, "read_only"));
    return once && reads ? "once, read" : once ? "once" : reads ? "read" : "-";
}

static void print_links(const json_t *answer)
{
    const json_t *links = json_object_get(answer, "links");
    size_t i;
    json_t *link;
    if (json_array_size(links) == 0)
        printf("No links. Make one with: boxedge preview link create BOX PORT\n");
    else
        printf("%-16s  %5s  %-10s  %6s  %-16s  %-8s  %s\n", "ID", "PORT", "KIND", "OPENED", "LAST USE (UTC)",
               "EXPIRES", "PATH AND LABEL");
    json_array_foreach(links, i, link)
    {
        char used[32], left[32];
        const char *label = json_string_value(json_object_get(link, "label"));
        cli_time(link, "last_used_at", used);
        cli_left(link, left);
        printf("%-16s  %5lld  %-10s  %6lld  %-16s  %-8s  %s%s%s\n", cli_text(link, "id"),
               cli_number(link, "port"), link_kind(link), cli_number(link, "opened"), used, left,
               cli_text(link, "path"), label != NULL ? "  " : "", label != NULL ? label : "");
    }
}

static int link_list(const cli_t *cli, const char *box, unsigned port)
{
    char target[128];
    int n = port != 0 ? snprintf(target, sizeof target, "/v1/links?box=%s&port=%u", box, port)
                      : snprintf(target, sizeof target, "/v1/links?box=%s", box);
    assert(n > 0 && (size_t)n < sizeof target);
    return cli_show(cli, "GET", target, NULL, print_links);
}

static void print_revoked(const json_t *answer)
{
    printf("The link %s of the preview %s-%lld is revoked.\n", cli_text(answer, "id"),
           cli_text(answer, "box"), cli_number(answer, "port"));
}

static bool is_link_id(const char *text)
{
    return strlen(text) == 16 && strspn(text, "0123456789abcdef") == 16;
}

static int link_revoke(const cli_t *cli, const char *id)
{
    char target[64];
    if (!is_link_id(id)) {
        fprintf(stderr,
                "boxedge: \"%.40s\" is not the id of a link: `boxedge preview link list BOX` has it\n", id);
        return CLI_USAGE;
    }
    (void)snprintf(target, sizeof target, "/v1/links/%s", id);
    return cli_show(cli, "DELETE", target, NULL, print_revoked);
}

/* A link does not last for ever. */
static int link_verb(const cli_t *cli)
{
    json_int_t seconds = cli->expires != NULL ? seconds_of(cli->expires) : 0;
    str_t verb = str_from(cli->arg_count > 1 ? cli->args[1] : "");
    const char *box;
    unsigned port = 0;
    if (cli->expires != NULL && seconds == 0) {
        fprintf(stderr, "boxedge: --expires takes a time such as 90s, 15m, 2h or 3d\n");
        return CLI_USAGE;
    }
    if (str_eq(verb, STR("revoke")) && cli->arg_count == 3)
        return link_revoke(cli, cli->args[2]);
    bool creates = str_eq(verb, STR("create")) && cli->arg_count == 4;
    if (!creates && !(str_eq(verb, STR("list")) && (cli->arg_count == 3 || cli->arg_count == 4))) {
        fprintf(stderr,
                "boxedge preview link: give create BOX PORT, list BOX [PORT] or revoke ID; see boxedge "
                "preview --help\n");
        return CLI_USAGE;
    }
    if (!take_box(cli->args[2], &box) || (cli->arg_count == 4 && !take_port(cli->args[3], &port)))
        return CLI_USAGE;
    return creates ? link_create(cli, box, port, seconds) : link_list(cli, box, port);
}

/* ---- the command ---- */

/* The option that does not fit the verb, or another option; NULL: all fit. */
static const char *misfit(const cli_t *cli, str_t verb)
{
    bool create = str_eq(verb, STR("create")), update = str_eq(verb, STR("update"));
    bool links = str_eq(verb, STR("link")) && cli->arg_count > 1 && strcmp(cli->args[1], "create") == 0;
    bool makes = cli->host_header != NULL || cli->bearer || cli->basic || cli->open ||
                 cli->protocol != NULL || cli->background_wakes != NULL || cli->origin_count != 0;
    if (makes && !create && !update)
        return "options of a new preview";
    if ((cli->expires != NULL || cli->label != NULL) && !create && !update && !links)
        return "--expires and --label";
    if ((cli->path != NULL || cli->once || cli->read_only || cli->allow_websocket) && !links)
        return "options of a new link";
    if ((cli->no_bearer || cli->no_basic) && !update)
        return "--no-bearer and --no-basic";
    if (cli->alias != NULL && !create)
        return "--alias";
    if (cli->kill_tunnels && !create && !update && !str_eq(verb, STR("delete")))
        return "--kill-tunnels";
    if (cli->box != NULL && !str_eq(verb, STR("list")))
        return "--box";
    if (cli->open && (cli->bearer || cli->basic))
        return "--public together with --bearer or --basic";
    if ((cli->bearer && cli->no_bearer) || (cli->basic && cli->no_basic))
        return "an option together with its opposite";
    return NULL;
}

/* Refuses an option that the verb would ignore. */
static bool options_fit(const cli_t *cli, str_t verb)
{
    const char *wrong = misfit(cli, verb);
    if (wrong != NULL)
        fprintf(stderr, "boxedge preview %.*s does not take %s\n", STR_ARG(verb), wrong);
    return wrong == NULL;
}

/* Names the wrong word, and prints the usage. */
static int wrong_words(const cli_t *cli)
{
    static const cli_verb_t verbs[] = {{"create", "BOX PORT"}, {"update", "BOX PORT"},         {"list", ""},
                                       {"delete", "BOX PORT"}, {"link", "create|list|revoke"}, {NULL, NULL}};
    cli_explain_words(cli, "preview", verbs);
    return usage(stderr, CLI_USAGE);
}

int cmd_preview(int argc, char **argv)
{
    cli_t cli;
    if (!cli_parse(argc, argv, CLI_JSON | CLI_BOX | CLI_CREATE | CLI_KILL | CLI_LINK, &cli))
        return CLI_USAGE;
    if (cli.help)
        return usage(stdout, CLI_OK);
    str_t verb = str_from(cli.arg_count != 0 ? cli.args[0] : "");
    if (!options_fit(&cli, verb))
        return CLI_USAGE;
    if (str_eq(verb, STR("create")) && cli.arg_count == 3)
        return create(&cli);
    if (str_eq(verb, STR("update")) && cli.arg_count == 3)
        return update(&cli);
    if (str_eq(verb, STR("delete")) && cli.arg_count == 3)
        return delete (&cli);
    if (str_eq(verb, STR("link")))
        return link_verb(&cli);
    if (str_eq(verb, STR("list")) && cli.arg_count == 1)
        return list(&cli);
    return wrong_words(&cli);
}
