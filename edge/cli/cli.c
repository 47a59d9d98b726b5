#include "cli.h"

#include <assert.h>
#include <time.h>

#include "admin_client.h"

/* Time limit between two pieces of an answer; a reload checks certificates and waits for workers. */
#define TIMEOUT_S 30

const char cli_common_help[] = "  -c, --config FILE  use the edge that runs with this configuration\n"
                               "  --socket PATH      use the edge with this admin socket\n"
                               "                     (default: $BOXEDGE_SOCKET, else the socket of\n"
                               "                     /etc/boxedge/boxedge.yaml, else the default paths)\n";

/* ---- options ---- */

static bool *flag_of(cli_t *cli, str_t name, unsigned takes)
{
    if (str_eq(name, STR("-h")) || str_eq(name, STR("--help")))
        return &cli->help;
    if (str_eq(name, STR("--json")) && (takes & CLI_JSON) != 0)
        return &cli->json;
    if (str_eq(name, STR("--bearer")) && (takes & CLI_CREATE) != 0)
        return &cli->bearer;
    if (str_eq(name, STR("--basic")) && (takes & CLI_CREATE) != 0)
        return &cli->basic;
    if (str_eq(name, STR("--public")) && (takes & CLI_CREATE) != 0)
        return &cli->open;
    if (str_eq(name, STR("--no-bearer")) && (takes & CLI_CREATE) != 0)
        return &cli->no_bearer;
    if (str_eq(name, STR("--no-basic")) && (takes & CLI_CREATE) != 0)
        return &cli->no_basic;
    if (str_eq(name, STR("--kill-tunnels")) && (takes & CLI_KILL) != 0)
        return &cli->kill_tunnels;
    if ((str_eq(name, STR("-f")) || str_eq(name, STR("--follow"))) && (takes & CLI_LOGS) != 0)
        return &cli->follow;
    if (str_eq(name, STR("--now")) && (takes & CLI_NOW) != 0)
        return &cli->now;
    if (str_eq(name, STR("--wait")) && (takes & CLI_WAIT) != 0)
        return &cli->wait;
    if (str_eq(name, STR("--once")) && (takes & (CLI_TOP | CLI_LINK)) != 0)
        return &cli->once;
    if (str_eq(name, STR("--read-only")) && (takes & CLI_LINK) != 0)
        return &cli->read_only;
    if (str_eq(name, STR("--allow-websocket")) && (takes & CLI_LINK) != 0)
        return &cli->allow_websocket;
    if (str_eq(name, STR("--ready")) && (takes & CLI_STATUS) != 0)
        return &cli->ready;
    if (str_eq(name, STR("--open")) && (takes & CLI_STATUS) != 0)
        return &cli->open_page;
    if (str_eq(name, STR("--stdin")) && (takes & CLI_KEY) != 0)
        return &cli->from_stdin;
    return NULL;
}

static const char **value_of(cli_t *cli, str_t name, unsigned takes)
{
    if (str_eq(name, STR("-c")) || str_eq(name, STR("--config")))
        return &cli->conf;
    if (str_eq(name, STR("--socket")) && (takes & CLI_OFFLINE) == 0)
        return &cli->socket;
    if (str_eq(name, STR("--box")) && (takes & CLI_BOX) != 0)
        return &cli->box;
    if ((str_eq(name, STR("-n")) || str_eq(name, STR("--lines"))) && (takes & CLI_LOGS) != 0)
        return &cli->lines;
    if ((str_eq(name, STR("-n")) || str_eq(name, STR("--limit"))) && (takes & CLI_LIMIT) != 0)
        return &cli->limit;
    if (str_eq(name, STR("--by")) && (takes & CLI_TOP) != 0)
        return &cli->by;
    if (str_eq(name, STR("--sort")) && (takes & CLI_TOP) != 0)
        return &cli->sort;
    if (str_eq(name, STR("--state")) && (takes & CLI_REQUESTS) != 0)
        return &cli->state;
    if (str_eq(name, STR("--older-than")) && (takes & CLI_REQUESTS) != 0)
        return &cli->older_than;
    if (str_eq(name, STR("--plan")) && (takes & CLI_KEY) != 0)
        return &cli->plan;
    if (str_eq(name, STR("--client")) && (takes & CLI_CLIENT) != 0)
        return &cli->client;
    if ((str_eq(name, STR("-o")) || str_eq(name, STR("--output"))) && (takes & CLI_OUTPUT) != 0)
        return &cli->output;
    if (str_eq(name, STR("--path")) && (takes & CLI_LINK) != 0)
        return &cli->path;
    if ((takes & CLI_CREATE) == 0)
        return NULL;
    if (str_eq(name, STR("--host-header")))
        return &cli->host_header;
    if (str_eq(name, STR("--protocol")))
        return &cli->protocol;
    if (str_eq(name, STR("--background-wakes")))
        return &cli->background_wakes;
    if (str_eq(name, STR("--expires")))
        return &cli->expires;
    if (str_eq(name, STR("--label")))
        return &cli->label;
    if (str_eq(name, STR("--alias")))
        return &cli->alias;
    if (str_eq(name, STR("--allow-origin")))
        return &cli->origins[cli->origin_count]; /* take_option counts it */
    return NULL;
}

/* Takes the option argv[*i], and its value if it has one. */
static bool take_option(int argc, char **argv, int *i, unsigned takes, cli_t *cli)
{
    const char *arg = argv[*i];
    const char *equals = strchr(arg, '=');
    str_t name = str_make(arg, equals != NULL ? (size_t)(equals - arg) : strlen(arg));
    bool *flag = flag_of(cli, name, takes);
    if (flag != NULL && equals == NULL) {
        *flag = true;
        return true;
    }
    const char **value = value_of(cli, name, takes);
    if (value == NULL) {
        fprintf(stderr, "boxedge %s: unknown option %s; see boxedge %s --help\n", argv[0], arg, argv[0]);
        return false;
    }
    if (equals == NULL && *i + 1 == argc) {
        fprintf(stderr, "boxedge %s: %s needs a value\n", argv[0], arg);
        return false;
    }
    *value = equals != NULL ? equals + 1 : argv[++*i];
    if (value == &cli->origins[cli->origin_count] && ++cli->origin_count > CLI_ORIGINS_MAX) {
        fprintf(stderr, "boxedge %s: %.*s may be given %d times\n", argv[0], STR_ARG(name), CLI_ORIGINS_MAX);
        return false;
    }
    return true;
}

bool cli_parse(int argc, char **argv, unsigned takes, cli_t *cli)
{
    *cli = (cli_t){0};
    bool options = true;
    for (int i = 1; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
        } else if (options && argv[i][0] == '-' && argv[i][1] != '\0') {
            if (!take_option(argc, argv, &i, takes, cli))
                return false;
        } else if (cli->arg_count == CLI_ARGS_MAX) {
            fprintf(stderr, "boxedge %s: too many arguments\n", argv[0]);
            return false;
        } else {
            cli->args[cli->arg_count++] = argv[i];
        }
    }
    return true;
}

/* ---- the running edge ---- */

/* Prints the reason for a missing answer. `place`: the socket of the result; the others of `sockets` do not
 * exist. */
static int explain(admin_client_result_t result, const cli_sockets_t *sockets, const char *place,
                   const admin_answer_t *answer)
{
    switch (result) {
    case ADMIN_CLIENT_NOT_RUNNING:
        cli_sockets_explain(sockets);
        break;
    case ADMIN_CLIENT_FORBIDDEN:
        fprintf(stderr,
                "boxedge: you may not use %s: only its owner, its group and root may. Use sudo, or join the "
                "group (ls -l %s shows it).\n",
                place, place);
        break;
    case ADMIN_CLIENT_FAILED:
        fprintf(stderr, "boxedge: no answer from the edge at %s: %s\n", place, answer->error);
        break;
    case ADMIN_CLIENT_OK:
        assert(false);
    }
    return CLI_FAILED;
}

/* Tries one socket after the other until an edge answers. If none does, the result is that of a forbidden
 * socket, if any: *place is that socket then. */
static admin_client_result_t request_any(const cli_sockets_t *sockets, const char *method, const char *target,
                                         const json_t *body, const char **place, admin_answer_t *answer)
{
    admin_client_result_t worst = ADMIN_CLIENT_NOT_RUNNING;
    for (size_t i = 0; i < sockets->count; i++) {
        admin_client_result_t result =
            admin_client_request(sockets->paths[i], method, target, body, TIMEOUT_S, answer);
        if (result != ADMIN_CLIENT_NOT_RUNNING)
            *place = sockets->paths[i];
        if (result == ADMIN_CLIENT_OK || result == ADMIN_CLIENT_FAILED)
            return result;
        worst = result == ADMIN_CLIENT_FORBIDDEN ? result : worst;
        admin_answer_fini(answer);
    }
    return worst;
}

/* Prints the edge's refusal of a request. */
static int explain_refusal(const admin_answer_t *answer)
{
    const char *sentence = json_string_value(json_object_get(answer->json, "error"));
    if (sentence == NULL) {
        fprintf(stderr, "boxedge: the edge answered with status %d\n", answer->status);
        return CLI_FAILED;
    }
    fprintf(stderr, "boxedge: %s\n", sentence);
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(answer->json, "lines"), i, line)
    {
        if (json_is_string(line))
            fprintf(stderr, "  %s\n", json_string_value(line));
    }
    return CLI_FAILED;
}

/* Asks the edge that the options name. Returns CLI_OK for an answer with any status, else prints the reason.
 * Call admin_answer_fini in any case. */
static int ask(const cli_t *cli, const char *method, const char *target, const json_t *body,
               admin_answer_t *answer)
{
    cli_sockets_t sockets;
    const char *place = "";
    *answer = (admin_answer_t){0};
    if (!cli_sockets_find(&sockets, cli->socket, cli->conf))
        return CLI_FAILED;
    admin_client_result_t result = request_any(&sockets, method, target, body, &place, answer);
    int status = result == ADMIN_CLIENT_OK ? CLI_OK : explain(result, &sockets, place, answer);
    cli_sockets_free(&sockets);
    return status;
}

static bool is_success(const admin_answer_t *answer)
{
    return answer->status >= 200 && answer->status <= 299;
}

int cli_request(const cli_t *cli, const char *method, const char *target, const json_t *body, json_t **out)
{
    *out = NULL;
    admin_answer_t answer;
    int status = ask(cli, method, target, body, &answer);
    if (status == CLI_OK && is_success(&answer) && json_is_object(answer.json))
        *out = json_incref(answer.json);
    else if (status == CLI_OK)
        status = explain_refusal(&answer);
    admin_answer_fini(&answer);
    return status;
}

int cli_request_text(const cli_t *cli, const char *target, const char *refused, char **out)
{
    *out = NULL;
    admin_answer_t answer;
    int status = ask(cli, "GET", target, NULL, &answer);
    if (status == CLI_OK && answer.text == NULL) {
        status = explain_refusal(&answer);
    } else if (status == CLI_OK && is_success(&answer)) {
        *out = answer.text;
        answer.text = NULL;
    } else if (status == CLI_OK) {
        fprintf(stderr, "boxedge: %s: %.*s\n", refused, (int)strcspn(answer.text, "\n"), answer.text);
        status = CLI_FAILED;
    }
    admin_answer_fini(&answer);
    return status;
}

bool cli_peek(const cli_sockets_t *sockets, const char *target, json_t **out)
{
    *out = NULL;
    const char *place = "";
    admin_answer_t answer = {0};
    bool got = request_any(sockets, "GET", target, NULL, &place, &answer) == ADMIN_CLIENT_OK &&
               answer.status == 200 && json_is_object(answer.json);
    if (got)
        *out = json_incref(answer.json);
    admin_answer_fini(&answer);
    return got;
}

/* The reason for a missing answer as part of a line. */
static void explain_in_line(admin_client_result_t result, const admin_answer_t *answer, char *why,
                            size_t why_len)
{
    if (result == ADMIN_CLIENT_NOT_RUNNING)
        snprintf(why, why_len, "the edge is not running");
    else if (result == ADMIN_CLIENT_FORBIDDEN)
        snprintf(why, why_len, "this user may not use the admin socket");
    else if (result == ADMIN_CLIENT_FAILED)
        snprintf(why, why_len, "no answer from the edge: %s", answer->error);
    else
        snprintf(why, why_len, "the edge answered with status %d", answer->status);
}

char *cli_fetch(const cli_t *cli, const char *target, char *why, size_t why_len)
{
    cli_sockets_t sockets;
    const char *place = "";
    char *text = NULL;
    snprintf(why, why_len, "the configuration cannot be read, so that its admin socket is not known");
    if (!cli_sockets_find(&sockets, cli->socket, cli->conf))
        return NULL;
    admin_answer_t answer = {0};
    admin_client_result_t result = request_any(&sockets, "GET", target, NULL, &place, &answer);
    if (result == ADMIN_CLIENT_OK && answer.status == 200 && answer.json != NULL) {
        text = json_dumps(answer.json, JSON_INDENT(2));
    } else if (result == ADMIN_CLIENT_OK && answer.status == 200) {
        text = answer.text;
        answer.text = NULL;
    } else {
        explain_in_line(result, &answer, why, why_len);
    }
    admin_answer_fini(&answer);
    cli_sockets_free(&sockets);
    return text;
}

int cli_show(const cli_t *cli, const char *method, const char *target, json_t *body,
             void (*print)(const json_t *answer))
{
    json_t *answer;
    int status = cli_request(cli, method, target, body, &answer);
    json_decref(body);
    if (status != CLI_OK)
        return status;
    const char *note = json_string_value(json_object_get(answer, "note"));
    if (cli->json) {
        cli_print_json(answer);
    } else {
        print(answer);
        if (note != NULL)
            fprintf(stderr, "%s\n", note);
    }
    json_decref(answer);
    return CLI_OK;
}

int cli_show_partly(const cli_t *cli, const char *method, const char *target,
                    void (*print)(const json_t *answer))
{
    json_t *answer;
    int status = cli_request(cli, method, target, NULL, &answer);
    if (status != CLI_OK)
        return status;
    if (cli->json)
        cli_print_json(answer);
    else
        print(answer);
    status = cli_print_note(answer);
    json_decref(answer);
    return status;
}

/* ---- output ---- */

void cli_print_json(const json_t *json)
{
    json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
}

int cli_print_note(const json_t *answer)
{
    const char *note = json_string_value(json_object_get(answer, "note"));
    if (note == NULL)
        return CLI_OK;
    fflush(stdout);
    fprintf(stderr, "boxedge: %s\n", note);
    return CLI_PARTLY;
}

const char *cli_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "-";
}

long long cli_number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

void cli_time(const json_t *object, const char *name, char out[32])
{
    struct tm tm;
    time_t when = (time_t)cli_number(object, name);
    snprintf(out, 32, "-");
    if (when != 0 && gmtime_r(&when, &tm) != NULL)
        strftime(out, 32, "%Y-%m-%d %H:%M", &tm);
}

void cli_left(const json_t *object, char out[32])
{
    long long expires_at = cli_number(object, "expires_at");
    snprintf(out, 32, "-");
    if (expires_at != 0)
        cli_duration(expires_at - time(NULL), out);
}

void cli_duration(json_int_t seconds, char out[32])
{
    long long s = seconds > 0 ? seconds : 0;
    if (s >= 86400)
        snprintf(out, 32, "%lldd %lldh", s / 86400, s / 3600 % 24);
    else if (s >= 3600)
        snprintf(out, 32, "%lldh %lldm", s / 3600, s / 60 % 60);
    else if (s >= 60)
        snprintf(out, 32, "%lldm %llds", s / 60, s % 60);
    else
        snprintf(out, 32, "%llds", s);
}

void cli_size(json_int_t bytes, char out[32])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024) {
        snprintf(out, 32, "%lld B", (long long)bytes);
        return;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024;
        unit++;
    }
    snprintf(out, 32, "%.1f %s", value, units[unit]);
}
