/*
 * Collects the facts that a remote person needs to find a fault, in one archive without secrets. The archive
 * names missing parts, and a missing part ends nothing.
 */
#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bundle.h"
#include "cli.h"
#include "cli_words.h"
#include "conf_redact.h"

#define DEFAULT_CONF  "/etc/boxedge/boxedge.yaml"
#define FILE_NAME_MAX 64

static int usage(FILE *out, int status)
{
    fprintf(
        out,
        "usage: boxedge support-bundle [OPTION]...\n\n"
        "Collects the parts of a report in one new tar archive that only you can read: versions,\n"
        "facts of the machine, the configuration and its check, state, metrics and recent messages of\n"
        "the edge, limits, names of files, certificates. Secrets are removed; keys and the contents of\n"
        "the store are never read. It works while the edge runs and while it does not. The exit status\n"
        "is 0 if the archive has everything, and 3 if a part is missing; README.txt in it has the reason.\n\n"
        "  -o, --output FILE  the archive (default: boxedge-support-TIME.tar); it must not exist\n");
    fputs(cli_common_help, out);
    return status;
}

/* ---- the configuration ---- */

static void add_configuration(bundle_t *bundle, const char *path)
{
    bundle_stream_t stream;
    FILE *out = bundle_open(&stream);
    fprintf(out, "# %s\n", path);
    if (!conf_redact_file(path, out, scrub_add, &bundle->scrub)) {
        fclose(stream.out);
        bundle_miss(bundle, "configuration.yaml", "%s: %s", path,
                    errno != 0 ? strerror(errno) : "it is no YAML that can be shown without its secrets");
        free(stream.text);
        return;
    }
    bundle_close(bundle, &stream, "configuration.yaml");
}

static void add_check(bundle_t *bundle, const char *path)
{
    bundle_stream_t stream;
    FILE *out = bundle_open(&stream);
    (void)check_file(path, true, out, out);
    bundle_close(bundle, &stream, "check.txt");
}

/* Parts that depend on a configuration that can be used. */
static void add_places(bundle_t *bundle, const char *path)
{
    conf_errors_t *errors = conf_errors_new();
    conf_t *conf = conf_load(path, errors);
    conf_errors_free(&errors);
    if (conf == NULL) {
        bundle_miss(bundle, "files.txt", "the configuration cannot be used, see check.txt");
        bundle_miss(bundle, "certificates.txt", "the configuration cannot be used, see check.txt");
        return;
    }
    bundle_add_files(bundle, conf);
    bundle_add_certificates(bundle, conf);
    conf_release(&conf);
}

/* ---- the running edge ---- */

/* After the first answer that is missing, the others are not asked for. */
static void add_answers(bundle_t *bundle, const cli_t *cli)
{
    static const struct {
        const char *target, *name;
    } parts[] = {
        {"/v1/status", "status.json"}, {"/metrics", "metrics.txt"}, {"/v1/messages", "messages.txt"}};
    char why[512];
    bool asks = true;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        char *text = asks ? cli_fetch(cli, parts[i].target, why, sizeof(why)) : NULL;
        asks = asks && text != NULL;
        if (text != NULL)
            bundle_add(bundle, parts[i].name, text);
        else
            bundle_miss(bundle, parts[i].name, "%s", why);
    }
}

/* ---- the archive ---- */

static int cannot_write(const char *path)
{
    fprintf(stderr, "boxedge: %s cannot be written: %s\n", path, strerror(errno));
    return CLI_FAILED;
}

/* No partial file stays behind. */
static int write_bundle(const bundle_t *bundle, const char *path, int fd, uint64_t now_unix)
{
    FILE *out = fdopen(fd, "w");
    bool ok = out != NULL && bundle_write(bundle, "boxedge-support", now_unix, out);
    int saved = errno;
    if (out != NULL ? fclose(out) != 0 : close(fd) != 0) {
        saved = ok ? errno : saved;
        ok = false;
    }
    if (!ok) {
        (void)unlink(path);
        errno = saved;
        return cannot_write(path);
    }
    printf("%s\n", path);
    if (bundle->missing == NULL)
        return CLI_OK;
    fprintf(stderr, "boxedge: the archive is not complete; missing:\n%s", bundle->missing);
    return CLI_PARTLY;
}

static void collect(bundle_t *bundle, const cli_t *cli)
{
    const char *conf = cli->conf != NULL ? cli->conf : DEFAULT_CONF;
    bundle_add_limits(bundle); /* before `check` raises its own */
    bundle_add_versions(bundle);
    add_configuration(bundle, conf);
    add_check(bundle, conf);
    add_places(bundle, conf);
    add_answers(bundle, cli);
    bundle_add_journal(bundle);
}

static int make_bundle(const cli_t *cli)
{
    char name[FILE_NAME_MAX] = "boxedge-support.tar";
    time_t now = time(NULL);
    struct tm tm;
    bundle_t bundle = {.count = 0};
    if (gmtime_r(&now, &tm) != NULL)
        strftime(name, sizeof(name), "boxedge-support-%Y%m%dT%H%M%SZ.tar", &tm);
    const char *path = cli->output != NULL ? cli->output : name;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return cannot_write(path);
    collect(&bundle, cli);
    int status = write_bundle(&bundle, path, fd, (uint64_t)now);
    bundle_fini(&bundle);
    return status;
}

int cmd_support_bundle(int argc, char **argv)
{
    static const cli_verb_t none[] = {{"", ""}, {NULL, NULL}};
    cli_t cli;
    if (!cli_parse(argc, argv, CLI_OUTPUT, &cli))
        return CLI_USAGE;
    if (cli.help)
        return usage(stdout, CLI_OK);
    if (cli.arg_count == 0)
        return make_bundle(&cli);
    cli_explain_words(&cli, "support-bundle", none);
    return usage(stderr, CLI_USAGE);
}
