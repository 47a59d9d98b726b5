#include "cmd_store.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "cli.h"
#include "cli_conf.h"
#include "cli_words.h"
#include "lockfile.h"
#include "own_paths.h"
#include "process.h"
#include "store_child.h"

#define PROGRESS_MS 2000
#define ERROR_BYTES (PATH_MAX + 256)

static int usage(FILE *out, int status)
{
    fprintf(out,
            "usage: boxedge store check [DIR] [OPTION]...  read the whole store and list its faults\n\n"
            "The command works while the edge runs and while it does not. It reads every page and the\n"
            "checksum of every record, and changes nothing. DIR is a directory like `state_dir`/store;\n"
            "without it, the store of the configuration is checked, in `state_dir` and `run_dir`. The exit\n"
            "status is 0 only if the check is complete and finds no fault.\n\n"
            "  -c, --config FILE  the configuration (default: /etc/boxedge/boxedge.yaml, else the\n"
            "                     default directories of this user)\n"
            "  --json             print the result as JSON\n");
    return status;
}

/* ---- check ---- */

typedef struct checking {
    const cli_t *cli;
    json_t *findings;
} checking_t;

static void on_finding(store_check_kind_t kind, bool refused, const char *sentence, void *arg)
{
    const checking_t *checking = arg;
    (void)refused;
    if (!checking->cli->json) {
        fprintf(stderr, "%s\n", sentence);
        return;
    }
    json_t *text = json_string(sentence);
    json_array_append_new(checking->findings,
                          json_pack("{s:s,s:o}", "kind", kind == STORE_CHECK_RECORD ? "record" : "pages",
                                    "sentence", text != NULL ? text : json_string("?")));
}

static void on_progress(const char *dir, unsigned percent, void *arg)
{
    (void)arg;
    fprintf(stderr, "boxedge: %u %% of %s is checked\n", percent, dir);
}

static int print_result(const checking_t *checking, const char *dir, const store_check_sum_t *sum)
{
    bool whole = sum->findings == 0 && sum->environments != 0;
    if (checking->cli->json) {
        json_t *place = json_string(dir);
        json_t *result = json_pack(
            "{s:o,s:b,s:i,s:I,s:i,s:i,s:O}", "directory", place != NULL ? place : json_string("?"), "whole",
            whole, "environments", (int)sum->environments, "records", (json_int_t)sum->records, "format",
            (int)sum->format, "minor", (int)sum->minor, "findings", checking->findings);
        assert(result != NULL);
        cli_print_json(result);
        json_decref(result);
    } else if (whole) {
        printf("The store in %s is whole: %u environments, %llu records, format %u.%u.\n", dir,
               sum->environments, (unsigned long long)sum->records, sum->format, sum->minor);
    } else if (sum->findings != 0) {
        fprintf(stderr, "boxedge: the store in %s has %llu fault%s\n", dir, (unsigned long long)sum->findings,
                sum->findings == 1 ? "" : "s");
    } else {
        fprintf(stderr, "boxedge: there is no store in %s\n", dir);
    }
    return whole ? CLI_OK : CLI_FAILED;
}

static int run_check(const cli_t *cli, const store_child_t *child)
{
    checking_t checking = {.cli = cli, .findings = json_array()};
    const store_child_calls_t calls = {.finding = on_finding, .progress = on_progress, .arg = &checking};
    store_check_sum_t sum;
    int status = CLI_FAILED;
    if (store_child_check(child, &calls, &sum) == STORE_CHILD_DONE)
        status = print_result(&checking, child->durable, &sum);
    else
        fprintf(stderr, "boxedge: the store cannot be checked: %s\n", strerror(errno));
    json_decref(checking.findings);
    return status;
}

/* Returns whether an edge runs with this state_dir. */
static bool is_in_use(const conf_t *conf)
{
    char path[PATH_MAX], error[ERROR_BYTES];
    pid_t holder;
    int n = snprintf(path, sizeof(path), "%s/%s", conf->state_dir, STATE_LOCK);
    return n < 0 || (size_t)n >= sizeof(path) ||
           lockfile_look(path, "state_dir", &holder, error, sizeof(error)) != LOCKFILE_FREE;
}

static int check_configured(const cli_t *cli)
{
    char durable[PATH_MAX], fleeting[PATH_MAX], error[ERROR_BYTES];
    privileges_t privileges;
    int status = CLI_FAILED;
    conf_t *conf = cli_conf_find(cli->conf);
    if (conf == NULL)
        return CLI_FAILED;
    if (!privileges_find(conf->user, &privileges, error, sizeof(error))) {
        fprintf(stderr, "boxedge: %s\n", error);
    } else if (!process_store_dirs(conf, durable, fleeting, PATH_MAX)) {
        fprintf(stderr, "boxedge: state_dir or run_dir is too long a path\n");
    } else {
        const store_child_t child = {.durable = durable,
                                     .fleeting = fleeting,
                                     .privileges = &privileges,
                                     .in_use = is_in_use(conf),
                                     .progress_ms = PROGRESS_MS};
        status = run_check(cli, &child);
    }
    conf_release(&conf);
    return status;
}

static int check_directory(const cli_t *cli, const char *dir)
{
    const privileges_t own = {.drop = false};
    const store_child_t child = {
        .durable = dir, .privileges = &own, .in_use = true, .progress_ms = PROGRESS_MS};
    return run_check(cli, &child);
}

/* ---- all ---- */

static int wrong_words(const cli_t *cli)
{
    static const cli_verb_t verbs[] = {{"check", ""}, {NULL, NULL}};
    cli_explain_words(cli, "store", verbs);
    return usage(stderr, CLI_USAGE);
}

int cmd_store(int argc, char **argv)
{
    cli_t cli;
    if (!cli_parse(argc, argv, CLI_JSON | CLI_OFFLINE, &cli))
        return CLI_USAGE;
    if (cli.help)
        return usage(stdout, CLI_OK);
    str_t verb = str_from(cli.arg_count != 0 ? cli.args[0] : "");
    if (str_eq(verb, STR("check")) && cli.arg_count <= 2)
        return cli.arg_count == 2 ? check_directory(&cli, cli.args[1]) : check_configured(&cli);
    return wrong_words(&cli);
}
