/*
 * Access lines as their destinations take them. A line is a JSON object without inner objects and lists, and
 * a line end: the edge's own (access_line.h, lost_requests.h).
 */
#ifndef BOXEDGE_LINE_TEXT_H
#define BOXEDGE_LINE_TEXT_H

#include <sys/types.h>

#include "access_field.h"

/* Maximum length of a line, with its end. */
#define LINE_TEXT_MAX 4096
/* Room for a datagram: the line, and its fields once more. */
#define LINE_DATAGRAM_MAX (2 * LINE_TEXT_MAX + 1024)
/* Maximum length of the name of this machine in a datagram. */
#define LINE_NODE_MAX 64

/* Removes all other fields from the whole lines in `text`, in place. Returns the length that remains. */
size_t line_choose(char *text, size_t len, access_fields_t fields);

/* Both make a datagram of a line with its end, with those of its fields that are chosen, and return its
 * length. */
/* systemd's native protocol: the line as MESSAGE, and fields to search by. */
size_t line_journal(char out[LINE_DATAGRAM_MAX], str_t line, access_fields_t fields);
/* RFC 5424: facility local0, severity informational, the line's time, `node`, the process `pid`, the line as
 * text without a byte order mark. */
size_t line_syslog(char out[LINE_DATAGRAM_MAX], str_t line, access_fields_t fields, const char *node,
                   pid_t pid);

#endif
