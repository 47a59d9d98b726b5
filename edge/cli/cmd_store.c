#include "commands.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "children.h"
#include "cli.h"
#include "cli_conf.h"
#include "cli_words.h"
#include "lockfile.h"
#include "own_paths.h"
#include "process.h"
#include "store_child.h"
#include "store_copy.h"
#include "store_made.h"

#define PROGRESS_MS 2000
#define ERROR_BYTES (PATH_MAX + 256)

static int usage(FILE *out, int status)
{
    fprintf(
        out,
        "usage: boxedge store check [DIR] [OPTION]...   read the whole store and list its faults\n"
        "       boxedge store backup DIR [OPTION]...    copy the store into the new directory DIR\n"
        "       boxedge store restore DIR [OPTION]...   put a backup in the place of the store\n\n"
        "`check` and `backup` work while the edge runs and while it does not. `check` reads every page\n"
        "and the checksum of every record, and changes nothing; without DIR, it checks the store of the\n"
        "configuration, in `state_dir` and `run_dir`. `backup` copies one moment of all parts of the\n"
        "store and checks the copy. `restore` needs a stopped edge. It checks the backup, puts a copy in\n"
        "the place of the store at once, and keeps the former store beside it. A command that did not do\n"
        "all of it does not exit with 0.\n\n"
        "  -c, --config FILE  the configuration (default: /etc/boxedge/boxedge.yaml, else the\n"
        "                     default directories of this user)\n"
        "  --json             print the result of `check` as JSON\n");
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
    if (!checking->cli->json || kind == STORE_CHECK_UNDONE) {
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
    switch (store_child_check(child, &calls, &sum)) {
    case STORE_CHILD_DONE:
        status = print_result(&checking, child->durable, &sum);
        break;
    case STORE_CHILD_UNDONE:
        fprintf(stderr, "boxedge: the check of the store in %s did not end\n", child->durable);
        break;
    case STORE_CHILD_LATE:
    case STORE_CHILD_FAILED:
        fprintf(stderr, "boxedge: the store cannot be checked: %s\n", strerror(errno));
        break;
    }
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

/* The store that the configuration names. */
typedef struct place {
    conf_t *conf;
    privileges_t privileges;
    char durable[PATH_MAX];
    char fleeting[PATH_MAX];
} place_t;

/* False, with nothing to release, after an error on stderr. */
static bool find_place(const cli_t *cli, place_t *place)
{
    char error[ERROR_BYTES] = "state_dir or run_dir is too long a path";
    place->conf = cli_conf_find(cli->conf);
    if (place->conf == NULL)
        return false;
    if (privileges_find(place->conf->user, &place->privileges, error, sizeof(error)) &&
        process_store_dirs(place->conf, place->durable, place->fleeting, PATH_MAX))
        return true;
    fprintf(stderr, "boxedge: %s\n", error);
    conf_release(&place->conf);
    return false;
}

static int check_configured(const cli_t *cli)
{
    place_t place;
    if (!find_place(cli, &place))
        return CLI_FAILED;
    const store_child_t child = {.durable = place.durable,
                                 .fleeting = place.fleeting,
                                 .privileges = &place.privileges,
                                 .in_use = is_in_use(place.conf),
                                 .progress_ms = PROGRESS_MS};
    int status = run_check(cli, &child);
    conf_release(&place.conf);
    return status;
}

static int check_directory(const cli_t *cli, const char *dir)
{
    const privileges_t own = {.drop = false};
    const store_child_t child = {
        .durable = dir, .privileges = &own, .in_use = true, .progress_ms = PROGRESS_MS};
    return run_check(cli, &child);
}

/* ---- backup ---- */

/* Copies in a child, since a source that is cut short may kill its reader. False after an error on stderr. */
static bool copy(const char *from, bool in_use, const char *to)
{
    char error[ERROR_BYTES] = "", how[64];
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        bool ok = store_copy(from, in_use, to, error, sizeof(error));
        if (!ok)
            fprintf(stderr, "boxedge: %s\n", error);
        _exit(ok ? 0 : 1);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        fprintf(stderr, "boxedge: no process for the copy: %s\n", strerror(errno));
        return false;
    }
    if (status != 0 && !WIFEXITED(status)) {
        store_copy_remove(to);
        fprintf(stderr, "boxedge: %s: a process that copies the store crashed: %s\n", from,
                children_end_text(status, how));
    }
    return status == 0;
}

typedef enum wholeness {
    IS_WHOLE,
    IS_DAMAGED,
    IS_UNKNOWN, /* the check did not end */
} wholeness_t;

/* Whether the copy is a whole store with all its parts; else prints its faults, or why they are unknown. */
static wholeness_t check_copy(const cli_t *cli, const char *dir, store_check_sum_t *sum)
{
    const privileges_t own = {.drop = false};
    const store_child_t child = {.durable = dir, .privileges = &own, .progress_ms = PROGRESS_MS};
    checking_t checking = {.cli = cli};
    const store_child_calls_t calls = {.finding = on_finding, .progress = on_progress, .arg = &checking};
    store_child_result_t result = store_child_check(&child, &calls, sum);
    if (result != STORE_CHILD_DONE) {
        fprintf(stderr, "boxedge: %s cannot be checked: %s\n", dir,
                result == STORE_CHILD_UNDONE ? "the check did not end" : strerror(errno));
        return IS_UNKNOWN;
    }
    if (sum->findings == 0 && store_durable_complete(dir))
        return IS_WHOLE;
    if (sum->findings == 0)
        fprintf(stderr, "boxedge: %s has %u of the %d parts of a store\n", dir, sum->environments,
                STORE_DURABLE_COUNT);
    return IS_DAMAGED;
}

static int backup(const cli_t *cli, const char *dir)
{
    place_t place;
    char fresh[PATH_MAX], error[ERROR_BYTES];
    store_check_sum_t sum;
    int n = snprintf(fresh, sizeof(fresh), "%s.unfinished", dir), status = CLI_FAILED;
    if (!find_place(cli, &place))
        return CLI_FAILED;
    if (access(dir, F_OK) == 0 || n < 0 || (size_t)n >= sizeof(fresh)) {
        fprintf(stderr, "boxedge: %s exists: a backup needs a new directory\n", dir);
    } else {
        store_copy_remove(fresh); /* of a backup that was interrupted */
        bool copied = copy(place.durable, is_in_use(place.conf), fresh);
        wholeness_t is = copied ? check_copy(cli, fresh, &sum) : IS_UNKNOWN;
        if (copied && is != IS_WHOLE) {
            store_copy_remove(fresh);
            fprintf(stderr, "boxedge: %s: nothing was kept\n",
                    is == IS_DAMAGED ? "the store is damaged, and so is its copy"
                                     : "it is not known whether the copy is whole");
        } else if (copied && rename(fresh, dir) != 0) {
            fprintf(stderr, "boxedge: %s cannot be named %s: %s\n", fresh, dir, strerror(errno));
        } else if (copied && !store_copy_keep_name(dir, error, sizeof(error))) {
            fprintf(stderr, "boxedge: %s\n", error);
        } else if (copied) {
            printf("The backup in %s is whole: %llu records.\n", dir, (unsigned long long)sum.records);
            status = CLI_OK;
        }
    }
    conf_release(&place.conf);
    return status;
}

/* ---- restore ---- */

/* Writes an unused name beside the store: the present time, with a number if that name exists. */
static bool name_kept(const char *durable, char *out, size_t len)
{
    char when[32];
    time_t now = time(NULL);
    struct tm tm;
    struct stat st;
    (void)strftime(when, sizeof(when), "%Y%m%d-%H%M%S", gmtime_r(&now, &tm));
    int n = snprintf(out, len, "%s.before-%s", durable, when);
    for (int i = 2; n >= 0 && (size_t)n < len && lstat(out, &st) == 0 && i < 1000; i++)
        n = snprintf(out, len, "%s.before-%s-%d", durable, when, i);
    return n >= 0 && (size_t)n < len;
}

static int swap(const place_t *place, const char *fresh, const char *dir, unsigned long long records)
{
    char error[ERROR_BYTES] = "the path of the store is too long", kept[PATH_MAX];
    struct stat st;
    bool former = lstat(place->durable, &st) == 0;
    uid_t uid = place->privileges.drop ? place->privileges.uid : (uid_t)-1;
    gid_t gid = place->privileges.drop ? place->privileges.gid : (gid_t)-1;
    if (!name_kept(place->durable, kept, sizeof(kept)) ||
        !store_copy_prepare(fresh, uid, gid, error, sizeof(error)) ||
        !store_copy_swap(fresh, place->durable, kept, error, sizeof(error))) {
        store_copy_remove(fresh);
        fprintf(stderr, "boxedge: %s; the store is as it was\n", error);
        return CLI_FAILED;
    }
    bool kept_name = store_copy_keep_name(place->durable, error, sizeof(error));
    if (!kept_name)
        fprintf(stderr, "boxedge: %s\n", error);
    printf("The store in %s is that of %s: %llu records.\n", place->durable, dir, records);
    if (former)
        printf("The former store is in %s.\n", kept);
    return kept_name ? CLI_OK : CLI_FAILED;
}

static int restore(const cli_t *cli, const char *dir)
{
    place_t place;
    char path[PATH_MAX + 64], fresh[PATH_MAX + 64], error[ERROR_BYTES];
    store_check_sum_t sum;
    int status = CLI_FAILED;
    wholeness_t is = check_copy(cli, dir, &sum);
    if (is != IS_WHOLE) {
        fprintf(stderr, "boxedge: %s %s: the store is as it was\n", dir,
                is == IS_DAMAGED ? "is no whole backup" : "may be no whole backup");
        return CLI_FAILED;
    }
    if (!find_place(cli, &place))
        return CLI_FAILED;
    snprintf(path, sizeof(path), "%s/%s", place.conf->state_dir, STATE_LOCK);
    snprintf(fresh, sizeof(fresh), "%s.unfinished", place.durable);
    int lock = lockfile_acquire(path, "state_dir", error, sizeof(error));
    struct stat from, to;
    if (lock < 0) {
        fprintf(stderr, "boxedge: %s\nA store is restored while no edge runs.\n", error);
    } else if (stat(dir, &from) == 0 && stat(fresh, &to) == 0 && from.st_dev == to.st_dev &&
               from.st_ino == to.st_ino) {
        fprintf(
            stderr,
            "boxedge: %s is the copy of a restore that was interrupted, and the next one removes it: give it "
            "another name first\n",
            dir);
        close(lock);
    } else {
        store_copy_remove(fresh); /* of a restore that was interrupted */
        if (copy(dir, false, fresh) && check_copy(cli, fresh, &sum) == IS_WHOLE)
            status = swap(&place, fresh, dir, (unsigned long long)sum.records);
        close(lock);
    }
    conf_release(&place.conf);
    return status;
}

/* ---- all ---- */

static int wrong_words(const cli_t *cli)
{
    static const cli_verb_t verbs[] = {{"check", ""}, {"backup", "DIR"}, {"restore", "DIR"}, {NULL, NULL}};
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
    if (cli.json && cli.arg_count != 0) {
        fprintf(stderr, "boxedge store: --json is an option of `boxedge store check`\n");
        return CLI_USAGE;
    }
    if (str_eq(verb, STR("backup")) && cli.arg_count == 2)
        return backup(&cli, cli.args[1]);
    if (str_eq(verb, STR("restore")) && cli.arg_count == 2)
        return restore(&cli, cli.args[1]);
    return wrong_words(&cli);
}
