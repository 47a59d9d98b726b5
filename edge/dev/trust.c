/*
 * `boxedge trust` and `untrust`: the local authority in the stores of the system, Chromium and Firefox.
 */
#include <getopt.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf_environment.h"
#include "conf_errors.h"
#include "dev.h"
#include "dev_place.h"
#include "trust_store.h"

/* Exit statuses, as of every command. */
#define DONE   0
#define FAILED 1
#define USAGE  2
#define PARTLY 3

/* What one run does, and what became of it. */
typedef struct trust_run {
    trust_authority_t authority;
    bool trust;
    size_t databases;
    bool hand; /* something is left for a person */
    bool failed;
} trust_run_t;

static int usage(FILE *out, int status, bool trust)
{
    if (trust)
        fputs(
            "usage: boxedge trust [-c FILE]\n\n"
            "Makes this user's browsers and this system trust the local authority: Chromium and Firefox by\n"
            "their databases (certutil of libnss3-tools), the system by update-ca-certificates, which needs\n"
            "root; without root prints the command. Says what it did to each store, and changes none twice.\n"
            "The authority can vouch only for names under its preview domain.\n",
            out);
    else
        fputs("usage: boxedge untrust [-c FILE]\n\n"
              "Removes the local authority, and nothing else, from the stores to which `boxedge trust` adds "
              "it.\n"
              "Its files stay; the edge goes on with them.\n",
              out);
    fputs("\n"
          "  -c, --config FILE  the authority of the edge with this configuration (default: that of\n"
          "                     `boxedge dev`)\n",
          out);
    return status;
}

static void report(trust_run_t *run, const char *store, const char *place, trust_result_t result,
                   const char *why)
{
    switch (result) {
    case TRUST_DONE:
        printf("%-9s %s: %s\n", store, run->trust ? "trusts it now" : "no longer trusts it", place);
        break;
    case TRUST_UNCHANGED:
        printf("%-9s %s: %s\n", store, run->trust ? "trusts it already" : "does not have it", place);
        break;
    case TRUST_HAND:
        run->hand = true;
        printf("%-9s is left to you:\n          %s\n", store, why);
        break;
    case TRUST_FAILED:
        run->failed = true;
        printf("%-9s FAILED: %s: %s\n", store, place, why);
    }
}

static void change_nss(trust_run_t *run, const char *store, const char *dir)
{
    char why[1024] = "";
    trust_result_t result = trust_nss(&run->authority, dir, run->trust, why, sizeof(why));
    run->databases++;
    report(run, store, dir, result, why);
}

/* The directories with a database that match home and `pattern`. */
static void change_matching(trust_run_t *run, const char *store, const char *home, const char *pattern)
{
    char full[TRUST_PATH_MAX];
    glob_t found;
    int n = snprintf(full, sizeof(full), "%s%s/cert9.db", home, pattern);
    if (n < 0 || (size_t)n >= sizeof(full) || glob(full, 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char *slash = strrchr(found.gl_pathv[i], '/');
        *slash = '\0';
        change_nss(run, store, found.gl_pathv[i]);
    }
    globfree(&found);
}

static void change_user(trust_run_t *run)
{
    static const char *const firefox[] = {"/.mozilla/firefox/*", "/.config/mozilla/firefox/*",
                                          "/snap/firefox/common/.mozilla/firefox/*"};
    static const char *const chromium[] = {"/.local/share/pki/nssdb", "/snap/chromium/current/.pki/nssdb"};
    const char *home = getenv("HOME");
    char dir[TRUST_PATH_MAX];
    int n = home != NULL && home[0] == '/' ? snprintf(dir, sizeof(dir), "%s/.pki/nssdb", home) : -1;
    if (n < 0 || (size_t)n >= sizeof(dir)) {
        report(run, "browsers", "-", TRUST_FAILED, "HOME is not set to a directory");
        return;
    }
    change_nss(run, "Chromium", dir);
    for (size_t i = 0; i < sizeof(chromium) / sizeof(chromium[0]); i++)
        change_matching(run, "Chromium", home, chromium[i]);
    size_t before = run->databases;
    for (size_t i = 0; i < sizeof(firefox) / sizeof(firefox[0]); i++)
        change_matching(run, "Firefox", home, firefox[i]);
    if (run->databases == before)
        printf("%-9s has no profile of this user\n", "Firefox");
}

/* Reads the authority of a configuration, or of `boxedge dev`, which trust makes if it is missing. */
static bool find_authority(const char *conf_path, trust_run_t *run, char *error, size_t error_len)
{
    char path[TRUST_PATH_MAX];
    dev_place_t place;
    if (conf_path == NULL) {
        if (!dev_place_find(&place, false, error, error_len) ||
            (run->trust && !dev_place_make_authority(&place, error, error_len)))
            return false;
        (void)snprintf(path, sizeof(path), "%s/ca/ca.pem", place.state);
        return trust_authority_read(path, DEV_DOMAIN, NULL, 0, &run->authority, error, error_len);
    }
    conf_environment_t env;
    conf_errors_t *errors = conf_errors_new();
    conf_environment_read(&env);
    conf_t *conf = conf_load_in(&env, conf_path, errors);
    if (conf == NULL)
        conf_errors_print(errors, stderr);
    conf_errors_free(&errors);
    (void)snprintf(error, error_len, "the configuration has errors");
    if (conf == NULL)
        return false;
    int n = snprintf(path, sizeof(path), "%s/ca/ca.pem", conf->state_dir);
    bool ok = n > 0 && (size_t)n < sizeof(path) &&
              trust_authority_read(path, conf->preview_domain, conf->api.hosts, conf->api.host_count,
                                   &run->authority, error, error_len);
    conf_release(&conf);
    return ok;
}

static int change_all(const char *name, const char *conf_path, bool trust)
{
    char error[1024], why[2 * TRUST_PATH_MAX + 128] = "";
    trust_run_t run = {.trust = trust};
    if (!find_authority(conf_path, &run, error, sizeof(error))) {
        fprintf(stderr, "boxedge %s: %s\n", name, error);
        trust_authority_fini(&run.authority);
        return FAILED;
    }
    printf("authority %s\n          vouches only for names under %s\n          SHA-256 %s\n",
           run.authority.path, run.authority.domains, run.authority.print);
    change_user(&run);
    trust_result_t result = trust_system(&run.authority, trust, why, sizeof(why));
    report(&run, "system", run.authority.system_path, result, why);
    trust_authority_fini(&run.authority);
    return run.failed ? FAILED : run.hand ? PARTLY : DONE;
}

static int change(int argc, char **argv, bool trust)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const char *conf_path = NULL;
    int option;
    optind = 1;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (option == 'h')
            return usage(stdout, DONE, trust);
        if (option != 'c')
            return usage(stderr, USAGE, trust);
        conf_path = optarg;
    }
    if (optind != argc) {
        fprintf(stderr, "boxedge %s: \"%s\" is not expected\n", argv[0], argv[optind]);
        return USAGE;
    }
    return change_all(argv[0], conf_path, trust);
}

int cmd_trust(int argc, char **argv)
{
    return change(argc, argv, true);
}

int cmd_untrust(int argc, char **argv)
{
    return change(argc, argv, false);
}
