#include "cmd_check.h"

#include <stdio.h>
#include <time.h>

#include "conf.h"
#include "snapshot.h"

static int usage(FILE *out, int code)
{
    fprintf(out,
            "usage: boxedge check -c FILE         report everything that is wrong with a configuration\n"
            "       boxedge check --print-default    print a commented configuration with every default\n"
            "       boxedge check --print-reference  print the reference of all keys, in Markdown\n");
    return code;
}

static int check_file(const char *path)
{
    conf_errors_t *errors = conf_errors_new();
    conf_t *conf = conf_load(path, errors);
    if (conf != NULL)
        conf_check_files(conf, errors);
    if (conf != NULL && conf_errors_count(errors) == 0)
        snapshot_check_keys(conf, (uint64_t)time(NULL), errors);
    conf_errors_print(errors, stderr);
    size_t count = conf_errors_count(errors);
    size_t warnings = conf_errors_warnings(errors);
    conf_errors_free(&errors);
    if (count != 0)
        fprintf(stderr, "%s: %zu error%s\n", path, count, count == 1 ? "" : "s");
    else
        printf("%s: no errors (%zu listener%s, %zu certificate%s, %zu box%s, %zu warning%s)\n", path,
               conf->listener_count, conf->listener_count == 1 ? "" : "s", conf->certificate_count,
               conf->certificate_count == 1 ? "" : "s", conf->box_count, conf->box_count == 1 ? "" : "es",
               warnings, warnings == 1 ? "" : "s");
    conf_release(&conf);
    return count != 0 ? 1 : 0;
}

static bool names_file(const char *option)
{
    return strcmp(option, "-c") == 0 || strcmp(option, "--config") == 0;
}

/* Which word is missing or not expected, and then the usage. */
static int refuse(int argc, char **argv)
{
    bool file = argc >= 2 && names_file(argv[1]);
    bool print = argc >= 2 && str_starts(str_from(argv[1]), STR("--print-"));
    int last = file ? 2 : print ? 1 : 0; /* the last word that has its place */
    if (argc < 2)
        fprintf(stderr, "boxedge check: -c FILE is missing\n\n");
    else if (file && argc == 2)
        fprintf(stderr, "boxedge check: %s needs a value\n\n", argv[1]);
    else
        fprintf(stderr, "boxedge check: \"%s\" is not expected\n\n", argv[last + 1 < argc ? last + 1 : 1]);
    return usage(stderr, 2);
}

int cmd_check(int argc, char **argv)
{
    str_t option = str_from(argc >= 2 ? argv[1] : "");
    if (argc == 3 && names_file(argv[1]))
        return check_file(argv[2]);
    if (argc == 2 && str_eq(option, STR("--print-default"))) {
        conf_print_default(stdout);
        return 0;
    }
    if (argc == 2 && str_eq(option, STR("--print-reference"))) {
        conf_print_reference(stdout);
        return 0;
    }
    bool help = argc == 2 && (str_eq(option, STR("-h")) || str_eq(option, STR("--help")));
    return help ? usage(stdout, 0) : refuse(argc, argv);
}
