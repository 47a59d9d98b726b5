#include "commands.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "conf.h"
#include "own_paths.h"
#include "snapshot.h"
#include "start_check.h"

static int usage(FILE *out, int code)
{
    fprintf(out,
            "usage: boxedge check -c FILE [--elsewhere]  list all errors of a configuration, and all\n"
            "                                            that keeps `run` from starting here and now\n"
            "       boxedge check --print-default        print a commented configuration with every default\n"
            "       boxedge check --print-reference      print the reference of all keys, in Markdown\n\n"
            "  -c, --config FILE  the configuration\n"
            "  --elsewhere        the file is for another machine or user\n"
            "  --print-default    print a commented configuration with every default\n"
            "  --print-reference  print the reference of all keys, in Markdown\n");
    return code;
}

int check_file(const char *path, bool here, FILE *out, FILE *lines)
{
    conf_errors_t *errors = conf_errors_new();
    conf_t *conf = conf_load(path, errors);
    pid_t running = 0;
    if (conf != NULL) {
        conf_check_files(conf, errors);
        if (here)
            conf_check_places(conf, errors);
        own_paths_check(conf, errors);
    }
    bool files = conf_errors_count(errors) == 0;
    if (conf != NULL && here)
        running = start_check(conf, files, errors);
    if (conf != NULL && files)
        snapshot_check_keys(conf, here, (uint64_t)time(NULL), errors);
    conf_errors_print(errors, lines);
    if (running != 0)
        fprintf(lines,
                "%s: note: process %d runs with this state_dir and run_dir: `boxedge reload` can load the "
                "file, `boxedge run` fails until that process ends\n",
                path, (int)running);
    size_t count = conf_errors_count(errors);
    size_t warnings = conf_errors_warnings(errors);
    conf_errors_free(&errors);
    assert(conf != NULL || count != 0);
    if (count != 0)
        fprintf(lines, "%s: %zu error%s\n", path, count, count == 1 ? "" : "s");
    else
        fprintf(out, "%s: no errors (%zu listener%s, %zu certificate%s, %zu box%s, %zu warning%s)\n", path,
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

static bool is_elsewhere(const char *option)
{
    return strcmp(option, "--elsewhere") == 0;
}

/* Names the missing or unexpected word, and prints the usage. */
static int refuse(int argc, char **argv)
{
    bool file = argc >= 2 && names_file(argv[1]);
    bool print = argc >= 2 && str_starts(str_from(argv[1]), STR("--print-"));
    bool elsewhere = file && argc >= 4 && is_elsewhere(argv[3]);
    int last = elsewhere ? 3 : file ? 2 : print ? 1 : 0; /* the last valid word */
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
    char *turned[] = {argv[0], argc == 4 ? argv[2] : NULL, argc == 4 ? argv[3] : NULL,
                      argc == 4 ? argv[1] : NULL};
    if (argc == 4 && is_elsewhere(argv[1]))
        argv = turned; /* the option may come before or after the file */
    if (argc >= 3 && argc <= 4 && names_file(argv[1]) && (argc == 3 || is_elsewhere(argv[3])))
        return check_file(argv[2], argc == 3, stdout, stderr);
    str_t option = str_from(argc >= 2 ? argv[1] : "");
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
