#include "dev_show.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef BOXEDGE_QRENCODE
#include <qrencode.h>
#endif

#define TEXT_BYTES 512
/* Modules around a QR code (ISO 18004 asks for four; scanners take two). */
#define QUIET_ZONE 2

#define DIM   "\x1b[2m"
#define BOLD  "\x1b[1m"
#define GREEN "\x1b[32m"
#define RED   "\x1b[31m"
#define PLAIN "\x1b[0m"

void dev_show_init(dev_show_t *show, dev_command_t *command)
{
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
    *show = (dev_show_t){.command = command};
    show->colours = isatty(STDOUT_FILENO) != 0 && (no_colour == NULL || no_colour[0] == '\0') &&
                    term != NULL && strcmp(term, "dumb") != 0;
}

static const char *code(const dev_show_t *show, const char *sequence)
{
    return show->colours ? sequence : "";
}

/* Begins a line of its own. */
static void begin(dev_show_t *show)
{
    if (!show->command->fresh_line)
        putchar('\n');
    show->command->fresh_line = true;
}

void dev_show_line(dev_show_t *show, const char *format, ...)
{
    va_list args;
    begin(show);
    printf("%sboxedge%s  ", code(show, DIM), code(show, PLAIN));
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    putchar('\n');
    (void)fflush(stdout);
}

void dev_show_link(dev_show_t *show, const char *link)
{
    begin(show);
    printf("\n  %s%s%s\n\n", code(show, BOLD), link, code(show, PLAIN));
    (void)fflush(stdout);
}

/* A text of a stranger, which may have bytes that a terminal obeys. */
static const char *shown(const json_t *line, const char *name, char out[TEXT_BYTES])
{
    const char *text = json_string_value(json_object_get(line, name));
    size_t n = 0;
    for (; text != NULL && text[n] != '\0' && n + 1 < TEXT_BYTES; n++)
        out[n] = text[n] > 0x20 && text[n] < 0x7f ? text[n] : '?';
    out[n] = '\0';
    return out;
}

void dev_show_request(dev_show_t *show, const json_t *line)
{
    char time[TEXT_BYTES], method[TEXT_BYTES], path[TEXT_BYTES], reason[TEXT_BYTES];
    long long status = json_integer_value(json_object_get(line, "status"));
    const char *clock = shown(line, "time", time);
    const char *why = shown(line, "reason", reason);
    if (show->quiet)
        return;
    begin(show);
    /* "2026-01-31T12:34:56.789Z": the time of day is in UTC, as in every log of the edge. */
    printf("%s%.8s%s  %s%3lld%s  %6.0f ms  %s %s%s%s%s\n", code(show, DIM),
           strlen(clock) > 19 ? clock + 11 : clock, code(show, PLAIN), code(show, status < 400 ? GREEN : RED),
           status, code(show, PLAIN), json_number_value(json_object_get(line, "duration_ms")),
           shown(line, "method", method), shown(line, "path", path), why[0] != '\0' ? "  (" : "", why,
           why[0] != '\0' ? ")" : "");
    (void)fflush(stdout);
}

#ifdef BOXEDGE_QRENCODE

static bool is_dark(const QRcode *qr, int x, int y)
{
    return x >= 0 && y >= 0 && x < qr->width && y < qr->width && (qr->data[y * qr->width + x] & 1) != 0;
}

/* Two rows of modules a line of text: dark on light, as scanners expect. */
static void print_code(const dev_show_t *show, const QRcode *qr)
{
    for (int y = -QUIET_ZONE; y < qr->width + QUIET_ZONE; y += 2) {
        fputs(code(show, "\x1b[30;107m"), stdout);
        for (int x = -QUIET_ZONE; x < qr->width + QUIET_ZONE; x++) {
            bool upper = is_dark(qr, x, y), lower = is_dark(qr, x, y + 1);
            if (!show->colours) { /* the terminal's own colours, taken as light on dark */
                upper = !upper;
                lower = !lower;
            }
            fputs(upper ? lower ? "\u2588" : "\u2580" : lower ? "\u2584" : " ", stdout);
        }
        printf("%s\n", code(show, PLAIN));
    }
}

void dev_show_code(dev_show_t *show, const char *text)
{
    QRcode *qr = isatty(STDOUT_FILENO) != 0 ? QRcode_encodeString(text, 0, QR_ECLEVEL_L, QR_MODE_8, 1) : NULL;
    if (qr == NULL)
        return;
    begin(show);
    print_code(show, qr);
    (void)fflush(stdout);
    QRcode_free(qr);
}

#else

void dev_show_code(dev_show_t *show, const char *text)
{
    (void)show;
    (void)text;
}

#endif
