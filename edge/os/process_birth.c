#include "process_birth.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Returns false if the file cannot be read. */
static bool read_text(const char *path, char *text, size_t len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, len - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* Identifies the machine's boot; 0 if unknown. */
static uint32_t boot(void)
{
    char text[64];
    uint32_t number = 0;
    bool read = read_text("/proc/sys/kernel/random/boot_id", text, sizeof(text)) &&
                sscanf(text, "%8" SCNx32, &number) == 1;
    return read ? number : 0;
}

typedef struct look {
    char state;
    uint64_t started; /* clock ticks since the boot; proc(5), field 22 */
} look_t;

/* Returns false if the process cannot be seen. */
static bool look_at(pid_t pid, look_t *out)
{
    char path[32], text[1024];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (!read_text(path, text, sizeof(text)))
        return false;
    /* "PID (NAME) STATE ...": the name may contain parentheses */
    const char *end = strrchr(text, ')');
    return end != NULL && sscanf(end + 1,
                                 " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                                 "%*s %" SCNu64,
                                 &out->state, &out->started) == 2;
}

static bool has_ended(const look_t *look)
{
    return look->state == 'Z' || look->state == 'X';
}

static uint32_t birth_of(const look_t *look)
{
    uint32_t birth = (uint32_t)look->started ^ (uint32_t)(look->started >> 32) ^ boot();
    return birth != 0 ? birth : 1;
}

uint32_t process_birth(pid_t pid)
{
    look_t look;
    return look_at(pid, &look) && !has_ended(&look) ? birth_of(&look) : 0;
}

bool process_lives(pid_t pid, uint32_t birth)
{
    look_t look;
    if (pid <= 0 || (kill(pid, 0) != 0 && errno != EPERM))
        return false;
    if (!look_at(pid, &look))
        return true;
    return !has_ended(&look) && (birth == 0 || birth == birth_of(&look));
}
