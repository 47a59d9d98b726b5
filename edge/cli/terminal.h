/*
 * The terminal of a command that draws on all of it: keys come one by one without an echo, and the output is
 * the terminal's other screen. Signals that end the program, and the key Ctrl-C, restore it first.
 */
#ifndef BOXEDGE_TERMINAL_H
#define BOXEDGE_TERMINAL_H

#include <stdbool.h>

/* The byte of Ctrl-C. */
#define TERMINAL_INTERRUPT '\x03'

/* Standard input and output are a terminal. False with errno: nothing was changed. */
bool terminal_begin(void);
/* Restores what terminal_begin changed. */
void terminal_end(void);
/* A signal asked the program to end. */
bool terminal_is_ending(void);
/* The present size; 80 columns and 24 lines if it is not known. */
void terminal_size(int *columns, int *lines);

#endif
