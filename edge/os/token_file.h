/* Secrets that the configuration names by the path of their file. */
#ifndef BOXEDGE_TOKEN_FILE_H
#define BOXEDGE_TOKEN_FILE_H

#include <stdbool.h>

#include "str.h"

/* Maximum bytes of a token. */
#define TOKEN_FILE_MAX 4096

/*
 * Reads the first line of the file, without white space at its ends. Returns false if the file
 * cannot be read, or the line is empty or too long; `token` is then unchanged. The caller cleanses
 * `token`.
 */
MUST_USE bool token_file_read(const char *path, char token[TOKEN_FILE_MAX + 1]);

#endif
