#include "cli_words.h"

/* Takes the word at `*rest`, and the space after it. */
static str_t take_word(const char **rest)
{
    size_t n = strcspn(*rest, " ");
    str_t word = str_make(*rest, n);
    *rest += n + ((*rest)[n] == ' ');
    return word;
}

/* "create, list or delete". */
static void print_verbs(const cli_verb_t *verbs)
{
    for (size_t i = 0; verbs[i].verb != NULL; i++)
        fprintf(stderr, "%s%s", i == 0 ? "" : verbs[i + 1].verb == NULL ? " or " : ", ", verbs[i].verb);
}

static const cli_verb_t *find(const cli_verb_t *verbs, const char *name)
{
    for (; verbs->verb != NULL; verbs++)
        if (strcmp(verbs->verb, name) == 0)
            return verbs;
    return NULL;
}

/* "BOX and PORT are missing", after `given` words. False if none is missing. */
static bool explain_missing(const char *prefix, const char *words, size_t given)
{
    for (size_t i = 0; i < given && *words != '\0'; i++)
        (void)take_word(&words);
    if (*words == '\0')
        return false;
    fprintf(stderr, "%s: ", prefix);
    bool several = strchr(words, ' ') != NULL;
    for (bool first = true; *words != '\0'; first = false) {
        str_t word = take_word(&words);
        fprintf(stderr, "%s%.*s", first ? "" : *words == '\0' ? " and " : ", ", STR_ARG(word));
    }
    fprintf(stderr, "%s missing\n\n", several ? " are" : " is");
    return true;
}

void cli_explain_words(const cli_t *cli, const char *command, const cli_verb_t *verbs)
{
    char prefix[64];
    bool verbless = verbs[0].verb[0] == '\0';
    if (!verbless && cli->arg_count == 0) {
        fprintf(stderr, "boxedge %s: the subcommand is missing: ", command);
        print_verbs(verbs);
        fputs("\n\n", stderr);
        return;
    }
    const cli_verb_t *verb = verbless ? verbs : find(verbs, cli->args[0]);
    if (verb == NULL) {
        fprintf(stderr, "boxedge %s: unknown subcommand \"%s\": it takes ", command, cli->args[0]);
        print_verbs(verbs);
        fputs("\n\n", stderr);
        return;
    }
    size_t given = cli->arg_count - !verbless, wanted = 0;
    for (const char *rest = verb->words; *rest != '\0'; wanted++)
        (void)take_word(&rest);
    snprintf(prefix, sizeof(prefix), "boxedge %s%s%s", command, verbless ? "" : " ", verb->verb);
    if (!explain_missing(prefix, verb->words, given) && given > wanted)
        fprintf(stderr, "%s: \"%s\" is not expected\n\n", prefix, cli->args[!verbless + wanted]);
}
