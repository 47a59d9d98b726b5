#include "process_log.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log_entry.h"
#include "logger.h"

#define LINE_MAX_BYTES 2048

void process_log(log_code_t code, const char *process, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    size_t len = log_head(line, code, process);

    va_list args;
    va_start(args, format);
    int n = vsnprintf(line + len, sizeof(line) - len - 1, format, args);
    va_end(args);
    if (n < 0)
        return;
    for (char *p = line + len; *p != '\0'; p++)
        if (*p == '\n' || *p == '\r')
            *p = ' ';
    len += strlen(line + len);
    line[len++] = '\n';
    if (write(STDERR_FILENO, line, len) < 0)
        logger_lost_line();
}

void process_log_lines(log_code_t code, const char *text)
{
    for (const char *at = text; *at != '\0';) {
        const char *end = strchrnul(at, '\n');
        process_log(code, NULL, "%.*s", (int)(end - at), at);
        at = end + (*end == '\n');
    }
}

void process_lines_open(process_lines_t *lines)
{
    *lines = (process_lines_t){0};
    lines->out = open_memstream(&lines->text, &lines->len);
    assert(lines->out != NULL);
}

void process_lines_log(process_lines_t *lines, log_code_t code)
{
    fclose(lines->out);
    process_log_lines(code, lines->text);
    free(lines->text);
}
