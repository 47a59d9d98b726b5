#include "process_log.h"

#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "logger.h"

#define LINE_MAX_BYTES 2048

void process_log(const char *process, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    int n = process != NULL ? snprintf(line, sizeof(line), "boxedge[%s]: ", process)
                            : snprintf(line, sizeof(line), "boxedge: ");
    size_t len = (size_t)n;

    va_list args;
    va_start(args, format);
    n = vsnprintf(line + len, sizeof(line) - len - 1, format, args);
    va_end(args);
    if (n < 0)
        return;
    for (char *p = line + len; *p != '\0'; p++)
        if (*p == '\n' || *p == '\r')
            *p = ' ';
    len = strlen(line);
    line[len++] = '\n';
    if (write(STDERR_FILENO, line, len) < 0)
        logger_lost_line();
}

void process_lines_open(process_lines_t *lines)
{
    *lines = (process_lines_t){0};
    lines->out = open_memstream(&lines->text, &lines->len);
    assert(lines->out != NULL);
}

void process_lines_log(process_lines_t *lines)
{
    fclose(lines->out);
    for (const char *at = lines->text; *at != '\0';) {
        const char *end = strchrnul(at, '\n');
        size_t len = (size_t)(end - at) + (*end == '\n');
        /* A longer line is not one of ours, and might be written only in part. */
        if (len > PIPE_BUF || write(STDERR_FILENO, at, len) < 0)
            logger_lost_line();
        at += len;
    }
    free(lines->text);
}
