#include "commands.h"

#include "cli_words.h"
#include "traffic_message.h"

static int usage(FILE *out, int status)
{
    fprintf(out,
            "usage: boxedge requests [OPTION]...          list the requests in flight, the oldest first\n"
            "       boxedge requests kill ID [OPTION]...  end one request\n\n"
            "STATE is the place where a request is. It waits in wake (for its box), slots (for a\n"
            "connection to its box), upstream (for a server of the API), preview and deletion (for the\n"
            "API's answer about a box), or body (for its own body); connect and upload precede first_byte,\n"
            "in which the box or server has the request. A response streams in response, and in client\n"
            "once only the client has to take the rest; a WebSocket is a tunnel. IN and OUT are bytes of\n"
            "the bodies, from and to the client. Values of secret parameters of a path are left out.\n\n"
            "`kill` answers a request whose response has not begun with 503 killed, resets the response\n"
            "otherwise, and sends a Close frame to a WebSocket. Other requests go on.\n\n"
            "  --box BOX          only requests for previews of this box\n"
            "  --state STATE      only requests in this state\n"
            "  --older-than TIME  only requests of at least this age: 500ms, 5s, 2m, 1h\n"
            "  -n, --limit NUMBER  at most this number of requests (100; at most 1000)\n"
            "  --json             print the answer of the admin API\n");
    fputs(cli_common_help, out);
    return status;
}

/* ---- list ---- */

/* "0.4s", "12.3s", "4m 5s". */
static void age_text(long long age_ms, char out[32])
{
    if (age_ms < 60000)
        snprintf(out, 32, "%lld.%llds", age_ms / 1000, age_ms % 1000 / 100);
    else
        cli_duration(age_ms / 1000, out);
}

/* "box-1:3000", "key ci at boxes", "boxes", "-". */
static void destination_text(const json_t *request, char out[160])
{
    const char *key = json_string_value(json_object_get(request, "key"));
    const char *upstream = json_string_value(json_object_get(request, "upstream"));
    if (upstream != NULL)
        snprintf(out, 160, "%s%s%s%s", key != NULL ? "key " : "", key != NULL ? key : "",
                 key != NULL ? " at " : "", upstream);
    else if (json_object_get(request, "box") != NULL)
        snprintf(out, 160, "%s:%lld", cli_text(request, "box"), cli_number(request, "port"));
    else
        snprintf(out, 160, "-");
}

static void print_request(const json_t *request)
{
    char age[32], in[32], out[32], destination[160];
    age_text(cli_number(request, "age_ms"), age);
    cli_size(cli_number(request, "request_bytes"), in);
    cli_size(cli_number(request, "response_bytes"), out);
    destination_text(request, destination);
    printf("%-32s  %8s  %-10s  %9s  %9s  %-15s  %-21s  %-21s  %s %s%s\n", cli_text(request, "request_id"),
           age, cli_text(request, "state"), in, out, cli_text(request, "client"), destination,
           cli_text(request, "origin"), cli_text(request, "method"), cli_text(request, "host"),
           cli_text(request, "path"));
}

static void print_list(const json_t *answer)
{
    size_t i;
    json_t *request;
    long long left_out = cli_number(answer, "left_out");
    if (json_array_size(json_object_get(answer, "requests")) != 0)
        printf("%-32s  %8s  %-10s  %9s  %9s  %-15s  %-21s  %-21s  %s\n", "ID", "AGE", "STATE", "IN", "OUT",
               "CLIENT", "FOR", "ORIGIN", "REQUEST");
    json_array_foreach(json_object_get(answer, "requests"), i, request)
    {
        print_request(request);
    }
    if (cli_number(answer, "matched") == 0)
        printf("None of the %lld requests in flight is of this kind.\n", cli_number(answer, "open"));
    if (left_out != 0)
        printf("%lld younger requests are left out (--limit, at most %d).\n", left_out, TRAFFIC_ROWS_MAX);
}

/* "500ms", "5s", "2m", "1h". */
static bool take_age(const char *text, uint64_t *ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    size_t digits = strspn(text, "0123456789");
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(text + digits, units[i].unit) == 0 &&
            str_to_uint(str_make(text, digits), UINT32_MAX / units[i].ms, ms)) {
            *ms *= units[i].ms;
            return true;
        }
    return false;
}

static bool is_word(const char *text)
{
    size_t n = strlen(text);
    return n != 0 && n <= TRAFFIC_WORD_MAX && strspn(text, "abcdefghijklmnopqrstuvwxyz_") == n;
}

/* Writes the target of the list, or says which option is wrong. */
static bool list_target(const cli_t *cli, char *out, size_t len)
{
    uint64_t ms = 0, limit = 100;
    const char *wrong = NULL;
    if (cli->older_than != NULL && !take_age(cli->older_than, &ms))
        wrong = "--older-than must be a time such as 500ms, 5s, 2m or 1h";
    else if (cli->limit != NULL &&
             (!str_to_uint(str_from(cli->limit), TRAFFIC_ROWS_MAX, &limit) || limit == 0))
        wrong = "--limit must be a number from 1 to 1000";
    else if (cli->state != NULL && !is_word(cli->state))
        wrong = "--state must be a word such as wake or first_byte";
    else if (cli->box != NULL && !box_id_valid(str_from(cli->box)))
        wrong = "--box must be the id of a box";
    if (wrong != NULL) {
        fprintf(stderr, "boxedge requests: %s\n", wrong);
        return false;
    }
    snprintf(out, len, "/v1/requests?limit=%llu&older_than_ms=%llu%s%s%s%s", (unsigned long long)limit,
             (unsigned long long)ms, cli->box != NULL ? "&box=" : "", cli->box != NULL ? cli->box : "",
             cli->state != NULL ? "&state=" : "", cli->state != NULL ? cli->state : "");
    return true;
}

/* ---- kill ---- */

static void print_killed(const json_t *answer)
{
    long long ended = cli_number(answer, "ended");
    if (ended == 1)
        printf("The request %s was %s.\n", cli_text(answer, "request_id"), cli_text(answer, "how"));
    else
        printf("%lld requests had the id %s, and were %s.\n", ended, cli_text(answer, "request_id"),
               cli_text(answer, "how"));
}

static bool kill_target(const char *id, char *out, size_t len)
{
    static const char marks[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_";
    size_t n = strlen(id);
    if (n == 0 || n > TRAFFIC_ID_MAX || strspn(id, marks) != n) {
        fprintf(stderr, "boxedge requests: \"%s\" is not the id of a request\n", id);
        return false;
    }
    snprintf(out, len, "/v1/requests/%s", id);
    return true;
}

int cmd_requests(int argc, char **argv)
{
    static const cli_verb_t verbs[] = {{"kill", "ID"}, {NULL, NULL}};
    char target[256];
    cli_t cli;
    if (!cli_parse(argc, argv, CLI_JSON | CLI_BOX | CLI_REQUESTS | CLI_LIMIT, &cli))
        return CLI_USAGE;
    if (cli.help)
        return usage(stdout, CLI_OK);
    if (cli.arg_count == 0)
        return list_target(&cli, target, sizeof(target)) ? cli_show_partly(&cli, "GET", target, print_list)
                                                         : CLI_USAGE;
    if (cli.arg_count == 2 && strcmp(cli.args[0], "kill") == 0)
        return kill_target(cli.args[1], target, sizeof(target))
                   ? cli_show_partly(&cli, "DELETE", target, print_killed)
                   : CLI_USAGE;
    cli_explain_words(&cli, "requests", verbs);
    return usage(stderr, CLI_USAGE);
}
