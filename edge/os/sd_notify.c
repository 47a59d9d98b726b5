/*
 * See sd_notify.h.
 */
#include "sd_notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "str.h"

/* Reads a decimal variable. Returns false if it is missing or has anything else. */
static bool read_number(const char *name, uint64_t *out)
{
    const char *text = getenv(name);
    return text != NULL && str_to_uint(str_from(text), INT64_MAX, out);
}

uint64_t sd_watchdog_interval_ms(void)
{
    uint64_t us, pid;
    if (!read_number("WATCHDOG_USEC", &us))
        return 0;
    if (getenv("WATCHDOG_PID") != NULL && (!read_number("WATCHDOG_PID", &pid) || pid != (uint64_t)getpid()))
        return 0;
    return us < 2000 ? us != 0 : us / 2000;
}

void sd_watchdog_hand_on(void)
{
    char pid[16];
    if (getenv("WATCHDOG_USEC") == NULL)
        return;
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
}

void sd_notify_send(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(sa.sun_path))
        return;
    size_t len = strlen(path);
    memcpy(sa.sun_path, path, len);
    if (path[0] == '@')
        sa.sun_path[0] = '\0'; /* an abstract name */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&sa,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    close(fd);
}
