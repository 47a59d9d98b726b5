/* Names the wrong word of a command line (options apart), so that users need not find it in the usage. */
#ifndef BOXEDGE_CLI_WORDS_H
#define BOXEDGE_CLI_WORDS_H

#include "cli.h"

/* A verb, and the words after it, separated by single spaces: "create", "BOX PORT". */
typedef struct cli_verb {
    const char *verb;
    const char *words;
} cli_verb_t;

/* Prints on stderr which word is missing, unexpected or unknown. `verbs` ends with {NULL, NULL}; a command
 * without verbs has one that is "". */
void cli_explain_words(const cli_t *cli, const char *command, const cli_verb_t *verbs);

#endif
