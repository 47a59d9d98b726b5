/*
 * The contents of a certificate file for people: subject, issuer, names, validity. Keys are never printed.
 */
#ifndef BOXEDGE_CERTIFICATE_PRINT_H
#define BOXEDGE_CERTIFICATE_PRINT_H

#include <stdio.h>

#include "str.h"

/* Prints a paragraph for each certificate in the PEM file. Returns their number, or -1 with errno if the file
 * cannot be read. */
int certificate_print(const char *path, FILE *out);

#endif
