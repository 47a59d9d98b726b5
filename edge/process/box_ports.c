#include "box_ports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 512
#define LINES_MAX  8192
/* The `st` of a listening socket in /proc/net/tcp (TCP_LISTEN of the kernel). */
#define STATE_LISTEN 10

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

static void note(box_ports_t *table, uint16_t port, bool loopback)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->ports[i].port == port) {
            table->ports[i].loopback &= loopback;
            return;
        }
    if (table->count < BOX_PORTS_MAX)
        table->ports[table->count++] = (box_port_t){port, loopback};
}

/* Returns false at the first socket that does not listen: the kernel lists listening sockets first. */
static bool take_line(const char *line, box_ports_t *table)
{
    char address[33];
    unsigned number, state;
    if (sscanf(line, " %*u: %32[0-9A-F]:%4x %*32[0-9A-F]:%*4x %2x", address, &number, &state) != 3)
        return true; /* the heading */
    if (state != STATE_LISTEN)
        return false;
    note(table, (uint16_t)number, is_loopback(address));
    return true;
}

static void read_file(uint32_t pid, const char *name, box_ports_t *table)
{
    char path[64], line[LINE_BYTES];
    (void)snprintf(path, sizeof(path), "/proc/%u/net/%s", pid, name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    table->known = true;
    for (unsigned i = 0; i < LINES_MAX && fgets(line, sizeof(line), file) != NULL; i++)
        if (!take_line(line, table))
            break;
    fclose(file);
}

static int compare(const void *a, const void *b)
{
    const box_port_t *x = a, *y = b;
    return (int)x->port - (int)y->port;
}

void box_ports_read(uint32_t pid, box_ports_t *out)
{
    out->known = false;
    out->count = 0;
    if (pid == 0)
        return;
    read_file(pid, "tcp", out);
    read_file(pid, "tcp6", out);
    qsort(out->ports, out->count, sizeof(out->ports[0]), compare);
}

const box_port_t *box_ports_find(const box_port_t *ports, size_t count, uint16_t port)
{
    for (size_t i = 0; i < count; i++)
        if (ports[i].port == port)
            return &ports[i];
    return NULL;
}

/* Returns whether an answer may mention that the box listens on the port. */
static bool is_its_own(const store_box_t *box, uint16_t port)
{
    return store_box_exposes(box, port) && (box->provider != PROVIDER_PROCESS || box->port_count != 0);
}

void box_ports_pick(const box_ports_t *table, const store_box_t *box, uint16_t port, box_ports_answer_t *out)
{
    *out = (box_ports_answer_t){.known = table->known};
    const box_port_t *entry = box_ports_find(table->ports, table->count, port);
    if (entry != NULL && is_its_own(box, port))
        out->ports[out->count++] = *entry;
    for (size_t i = 0; i < table->count && out->count < BOX_PORTS_ANSWER_MAX; i++)
        if (table->ports[i].port != port && is_its_own(box, table->ports[i].port))
            out->ports[out->count++] = table->ports[i];
}
