/* What `boxedge dev` prints: its own lines between those of the command, on stdout. */
#ifndef BOXEDGE_DEV_SHOW_H
#define BOXEDGE_DEV_SHOW_H

#include <jansson.h>
#include <stdio.h>

#include "dev_command.h"

typedef struct dev_show {
    bool colours;           /* stdout is a terminal that has them, and NO_COLOR is not set */
    bool quiet;             /* no requests */
    dev_command_t *command; /* the state of its output: whether a line is open */
} dev_show_t;

void dev_show_init(dev_show_t *show, dev_command_t *command);
/* A line of boxedge itself. */
void dev_show_line(dev_show_t *show, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The link, large. */
void dev_show_link(dev_show_t *show, const char *link);
/* One access line. */
void dev_show_request(dev_show_t *show, const json_t *line);
/* A QR code, if the build and the terminal have it. */
void dev_show_code(dev_show_t *show, const char *text);

#endif
