#include "terminal.h"

#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* The other screen without a cursor, and back. */
#define BEGIN "\x1b[?1049h\x1b[?25l"
#define END   "\x1b[?25h\x1b[?1049l"

/* A signal handler knows no owner. */
static volatile sig_atomic_t ending;
static struct termios before;

static void on_end(int number)
{
    (void)number;
    ending = 1;
}

static void on_size(int number)
{
    (void)number; /* interrupts the wait for a key */
}

/* Without SA_RESTART: a signal interrupts the wait. */
static void handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(number, &action, NULL);
}

static void put(const char *text, size_t n)
{
    (void)!write(STDOUT_FILENO, text, n);
}

bool terminal_begin(void)
{
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return false;
    struct termios raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG | IEXTEN);
    raw.c_iflag &= ~(tcflag_t)(IXON | ICRNL);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    handle(SIGINT, on_end);
    handle(SIGTERM, on_end);
    handle(SIGHUP, on_end);
    handle(SIGQUIT, on_end);
    handle(SIGWINCH, on_size);
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) != 0)
        return false;
    put(BEGIN, sizeof(BEGIN) - 1);
    return true;
}

void terminal_end(void)
{
    put(END, sizeof(END) - 1);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
}

bool terminal_is_ending(void)
{
    return ending != 0;
}

void terminal_size(int *columns, int *lines)
{
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0 && size.ws_row != 0;
    *columns = known ? size.ws_col : 80;
    *lines = known ? size.ws_row : 24;
}
