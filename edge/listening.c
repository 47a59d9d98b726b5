#include "listening.h"

#include <stdio.h>
#include <string.h>

#define LINE_BYTES 512
#define LINES_MAX  8192
/* The `st` of a listening socket in /proc/net/tcp (TCP_LISTEN of the kernel). */
#define STATE_LISTEN 10

typedef struct sight {
    bool loopback;
    bool elsewhere;
} sight_t;

/* IPv4 is one word, IPv6 four, each in the machine's byte order. */
static bool is_loopback(const char *hex)
{
    size_t n = strspn(hex, "0123456789ABCDEF");
    if (n == 8)
        return strncmp(hex + 6, "7F", 2) == 0;
    return n == 32 &&
           (strncmp(hex, "00000000000000000000000001000000", 32) == 0 ||
            (strncmp(hex, "0000000000000000FFFF0000", 24) == 0 && strncmp(hex + 30, "7F", 2) == 0));
}

static void look(const char *line, uint16_t port, sight_t *sight)
{
    char address[33];
    unsigned number, state;
    if (sscanf(line, " %*u: %32[0-9A-F]:%4x %*32[0-9A-F]:%*4x %2x", address, &number, &state) != 3 ||
        state != STATE_LISTEN || number != port)
        return;
    if (is_loopback(address))
        sight->loopback = true;
    else
        sight->elsewhere = true;
}

static void read_table(uint32_t pid, const char *name, uint16_t port, sight_t *sight)
{
    char path[64], line[LINE_BYTES];
    (void)snprintf(path, sizeof(path), "/proc/%u/net/%s", pid, name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    for (unsigned i = 0; i < LINES_MAX && fgets(line, sizeof(line), file) != NULL; i++)
        look(line, port, sight);
    fclose(file);
}

bool listening_only_on_loopback(uint32_t pid, uint16_t port)
{
    sight_t sight = {.loopback = false};
    if (pid == 0)
        return false;
    read_table(pid, "tcp", port, &sight);
    read_table(pid, "tcp6", port, &sight);
    return sight.loopback && !sight.elsewhere;
}
