#include "boxes_message.h"

#include <unistd.h>

#include "bytes.h"

/* Bits of the first byte. */
#define SETTLED 1u
#define OUTPUT  2u
#define LOG     4u

#define STATUS_AT 25

size_t handed_box_write(const handed_box_t *box, char out[HANDED_BOX_BYTES])
{
    out[0] = (char)((box->settled ? SETTLED : 0) | (box->output_fd >= 0 ? OUTPUT : 0) |
                    (box->log_fd >= 0 ? LOG : 0));
    bytes_put64(out + 1, box->since_ms);
    bytes_put64(out + 9, (uint64_t)box->box_init);
    bytes_put64(out + 17, box->log_end);
    return STATUS_AT + runner_status_write(&box->status, out + STATUS_AT);
}

static bool can_be_handed(runner_state_t state)
{
    return state == RUNNER_STARTING || state == RUNNER_RUNNING || state == RUNNER_FROZEN ||
           state == RUNNER_STOPPING;
}

static int take(int *fds, size_t *next)
{
    int fd = fds[*next];
    fds[(*next)++] = -1;
    return fd;
}

bool handed_box_read(str_t bytes, int *fds, size_t fd_count, handed_box_t *out)
{
    if (bytes.n < STATUS_AT)
        return false;
    unsigned flags = (unsigned char)bytes.p[0];
    bool output = (flags & OUTPUT) != 0, log = (flags & LOG) != 0;
    uint64_t box_init = bytes_get64(bytes.p + 9);
    *out = (handed_box_t){.settled = (flags & SETTLED) != 0,
                          .since_ms = bytes_get64(bytes.p + 1),
                          .box_init = (pid_t)box_init,
                          .log_end = bytes_get64(bytes.p + 17)};
    if (box_init == 0 || box_init > INT32_MAX || fd_count != 1u + output + log ||
        !runner_status_read(str_from_offset(bytes, STATUS_AT), &out->status) ||
        !can_be_handed(out->status.state))
        return false;
    size_t next = 0;
    out->channel_fd = take(fds, &next);
    out->output_fd = output ? take(fds, &next) : -1;
    out->log_fd = log ? take(fds, &next) : -1;
    return true;
}

void handed_box_close(handed_box_t *box)
{
    int *fds[] = {&box->channel_fd, &box->output_fd, &box->log_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}
