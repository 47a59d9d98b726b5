#include "runner_message.h"

#include <assert.h>

#include "bytes.h"

#define ID_AT 18

size_t runner_status_write(const runner_status_t *status, char out[RUNNER_STATUS_BYTES])
{
    size_t n = strlen(status->id);
    assert(n <= BOX_ID_MAX);
    out[0] = (char)status->state;
    out[1] = status->loopback6 ? 1 : 0;
    bytes_put64(out + 2, status->life);
    bytes_put64(out + 10, status->pid);
    memcpy(out + ID_AT, status->id, n);
    return ID_AT + n;
}

bool runner_status_read(str_t bytes, runner_status_t *out)
{
    if (bytes.n < ID_AT || bytes.n > RUNNER_STATUS_BYTES)
        return false;
    str_t id = str_from_offset(bytes, ID_AT);
    unsigned state = (unsigned char)bytes.p[0], flags = (unsigned char)bytes.p[1];
    uint64_t pid = bytes_get64(bytes.p + 10);
    if (state > RUNNER_STOPPING || flags > 1 || pid > INT32_MAX || !box_id_valid(id))
        return false;
    *out = (runner_status_t){.state = (runner_state_t)state,
                             .life = bytes_get64(bytes.p + 2),
                             .pid = (uint32_t)pid,
                             .loopback6 = flags == 1};
    memcpy(out->id, id.p, id.n);
    return true;
}
