#include "commands.h"

#include <assert.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "cli_words.h"
#include "store.h"

/* Maximum bytes of a key; one more is read to detect a longer one. */
#define KEY_MAX 256

static int usage(FILE *out, int status)
{
    fprintf(
        out,
        "usage: boxedge key create NAME --plan PLAN [OPTION]...  make an API key\n"
        "       boxedge key list [OPTION]...                     show the keys, never their secrets\n"
        "       boxedge key set-plan NAME PLAN [OPTION]...       give a key another plan\n"
        "       boxedge key revoke NAME [OPTION]...              refuse a key from now on\n"
        "       boxedge key forget NAME [OPTION]...              forget a key that is revoked\n\n"
        "NAME is the key's name in logs and commands: up to 63 letters, digits, \"-\", \".\" and \"_\".\n"
        "PLAN is one of `plans` in the configuration. When a command ends, its change is in force on\n"
        "every worker and on disk. The edge refuses a revoked key even if the upstream accepts it or the\n"
        "configuration declares it; once the key is forgotten, these decide again.\n\n"
        "  --plan PLAN        the plan with the key's limits (create)\n"
        "  --stdin            register an existing key: read it from standard input, one line of 16 to\n"
        "                     256 visible characters (create)\n"
        "  --json             print the answer of the admin API\n");
    fputs(cli_common_help, out);
    return status;
}

/* Checks the name, which becomes part of a path of the admin API. */
static bool name_fits(const char *name)
{
    if (store_key_name_valid(str_from(name)))
        return true;
    fprintf(stderr, "boxedge: a key's name must be 1 to %d letters, digits, \"-\", \".\" and \"_\"\n",
            STORE_KEY_NAME_MAX);
    return false;
}

/* ---- create ---- */

/* Reads the one line of standard input. False after an error on stderr. */
static bool read_key(char key[KEY_MAX + 1])
{
    char bytes[KEY_MAX + 3]; /* "\r\n", and one more */
    if (isatty(STDIN_FILENO))
        fprintf(stderr, "Type the key, Enter and Ctrl-D:\n");
    size_t n = fread(bytes, 1, sizeof(bytes), stdin);
    bool failed = ferror(stdin) != 0;
    if (n != 0 && n < sizeof(bytes) && bytes[n - 1] == '\n')
        n--;
    if (n != 0 && n < sizeof(bytes) && bytes[n - 1] == '\r')
        n--;
    bool ok = !failed && n != 0 && n <= KEY_MAX;
    for (size_t i = 0; ok && i < n; i++)
        ok = bytes[i] > ' ' && bytes[i] < 0x7f;
    if (ok) {
        memcpy(key, bytes, n);
        key[n] = '\0';
    } else if (failed) {
        fprintf(stderr, "boxedge: standard input cannot be read\n");
    } else {
        fprintf(stderr,
                "boxedge: --stdin takes one line with the key: visible ASCII characters, at most %d\n",
                KEY_MAX);
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return ok;
}

/* The request for a new key. NULL after an error on stderr. */
static json_t *creation(const cli_t *cli)
{
    char key[KEY_MAX + 1];
    if (cli->plan == NULL) {
        fprintf(stderr,
                "boxedge key create: --plan PLAN is missing; the plans are those of the configuration\n");
        return NULL;
    }
    json_t *body = json_pack("{s:s,s:s}", "name", cli->args[1], "plan", cli->plan);
    if (body == NULL) {
        fprintf(stderr, "boxedge: --plan takes the name of a plan\n");
        return NULL;
    }
    if (!cli->from_stdin)
        return body;
    if (!read_key(key)) {
        json_decref(body);
        return NULL;
    }
    json_object_set_new(body, "key", json_string(key));
    OPENSSL_cleanse(key, sizeof(key));
    return body;
}

static void print_created(const json_t *answer)
{
    const char *key = json_string_value(json_object_get(answer, "key"));
    if (key == NULL) {
        printf("The key %s is registered with the plan %s.\n", cli_text(answer, "name"),
               cli_text(answer, "plan"));
        return;
    }
    printf("%s\n", key);
    fprintf(stderr, "This key is shown only now: the edge keeps only its hash.\n");
}

static int create(const cli_t *cli)
{
    json_t *body = creation(cli);
    return body != NULL ? cli_show(cli, "POST", "/v1/keys", body, print_created) : CLI_USAGE;
}

/* ---- changes ---- */

static void print_planned(const json_t *answer)
{
    printf("The key %s has the plan %s.\n", cli_text(answer, "name"), cli_text(answer, "plan"));
}

static void print_revoked(const json_t *answer)
{
    printf("The key %s is revoked.\n", cli_text(answer, "name"));
}

static void print_forgotten(const json_t *answer)
{
    printf("The key %s is forgotten.\n", cli_text(answer, "name"));
}

/* Sends the change to the key's own address; takes over `body`. */
static int change(const cli_t *cli, const char *method, const char *query, json_t *body,
                  void (*print)(const json_t *answer))
{
    char target[STORE_KEY_NAME_MAX + 32];
    int n = snprintf(target, sizeof target, "/v1/keys/%s%s", cli->args[1], query);
    assert(n > 0 && (size_t)n < sizeof target);
    return cli_show(cli, method, target, body, print);
}

static int set_plan(const cli_t *cli)
{
    json_t *body = json_pack("{s:s}", "plan", cli->args[2]);
    if (body == NULL) {
        fprintf(stderr, "boxedge: this is not the name of a plan\n");
        return CLI_USAGE;
    }
    return change(cli, "PUT", "", body, print_planned);
}

/* ---- list ---- */

static void print_row(const json_t *key, const char *state)
{
    char when[32];
    cli_time(key, "created_at", when);
    printf("%-24s  %-16s  %-9s  %s\n", cli_text(key, "name"), cli_text(key, "plan"), state, when);
}

/* Declared keys have no time. */
static void print_declared(const json_t *keys)
{
    size_t i;
    json_t *key;
    json_array_foreach(keys, i, key)
    {
        bool revoked = json_is_true(json_object_get(key, "revoked"));
        print_row(key, revoked ? "revoked" : "declared");
    }
}

static void print_stored(const json_t *keys)
{
    size_t i;
    json_t *key;
    json_array_foreach(keys, i, key)
    {
        const char *state = "valid";
        if (json_object_get(key, "revoked_at") != NULL)
            state = "revoked";
        else if (json_is_true(json_object_get(key, "plan_missing")))
            state = "no plan"; /* the default plan applies */
        print_row(key, state);
    }
}

static void print_list(const json_t *declared, const json_t *keys)
{
    if (json_array_size(declared) + json_array_size(keys) == 0) {
        printf("No keys. Make one with: boxedge key create NAME --plan PLAN\n");
        return;
    }
    printf("%-24s  %-16s  %-9s  %s\n", "NAME", "PLAN", "STATE", "CREATED (UTC)");
    print_declared(declared);
    print_stored(keys);
}

/* Reads all pages, at most STORE_KEYS_MAX keys, before it prints. */
static int list(const cli_t *cli)
{
    char target[STORE_KEY_NAME_MAX + 32] = "/v1/keys";
    json_t *all = NULL, *page;
    bool more = true;
    while (more) {
        int status = cli_request(cli, "GET", target, NULL, &page);
        if (status != CLI_OK) {
            json_decref(all);
            return status;
        }
        const char *next = json_string_value(json_object_get(page, "next"));
        more = next != NULL && store_key_name_valid(str_from(next));
        if (more)
            snprintf(target, sizeof target, "/v1/keys?from=%s", next);
        if (all == NULL) {
            all = json_incref(page);
            json_object_del(all, "next");
        } else {
            json_array_extend(json_object_get(all, "keys"), json_object_get(page, "keys"));
        }
        json_decref(page);
    }
    if (cli->json)
        cli_print_json(all);
    else
        print_list(json_object_get(all, "declared"), json_object_get(all, "keys"));
    json_decref(all);
    return CLI_OK;
}

/* Names the wrong word, and prints the usage. */
static int wrong_words(const cli_t *cli)
{
    static const cli_verb_t verbs[] = {{"create", "NAME"}, {"list", ""},       {"set-plan", "NAME PLAN"},
                                       {"revoke", "NAME"}, {"forget", "NAME"}, {NULL, NULL}};
    cli_explain_words(cli, "key", verbs);
    return usage(stderr, CLI_USAGE);
}

int cmd_key(int argc, char **argv)
{
    cli_t cli;
    if (!cli_parse(argc, argv, CLI_JSON | CLI_KEY, &cli))
        return CLI_USAGE;
    if (cli.help)
        return usage(stdout, CLI_OK);
    str_t verb = str_from(cli.arg_count != 0 ? cli.args[0] : "");
    bool creates = str_eq(verb, STR("create"));
    if (!creates && (cli.plan != NULL || cli.from_stdin)) {
        fprintf(stderr, "boxedge key: --plan and --stdin are options of `boxedge key create`\n");
        return CLI_USAGE;
    }
    if (creates && cli.arg_count > 2) {
        fprintf(stderr, "boxedge key create: give an existing key on standard input, with --stdin: every "
                        "user of this machine can see arguments\n");
        return CLI_USAGE;
    }
    if (str_eq(verb, STR("list")) && cli.arg_count == 1)
        return list(&cli);
    size_t wanted = str_eq(verb, STR("set-plan")) ? 3 : 2;
    if (cli.arg_count != wanted)
        return wrong_words(&cli);
    if (!name_fits(cli.args[1]))
        return CLI_USAGE;
    if (creates)
        return create(&cli);
    if (wanted == 3)
        return set_plan(&cli);
    if (str_eq(verb, STR("revoke")))
        return change(&cli, "DELETE", "", NULL, print_revoked);
    if (str_eq(verb, STR("forget")))
        return change(&cli, "DELETE", "?forget=1", NULL, print_forgotten);
    return wrong_words(&cli);
}
