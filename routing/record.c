#include "record.h"

#include <assert.h>

#include "bytes.h"

#define PREVIEW_VERSION 1
#define BOX_VERSION     1

void record_encode_preview(const store_preview_t *preview, char out[RECORD_PREVIEW_BYTES])
{
    out[0] = PREVIEW_VERSION;
    bytes_put64(out + 1, preview->version);
    bytes_put64(out + 9, preview->created_at);
    out[17] = (char)preview->host_header;
}

void record_encode_box(const store_box_t *box, char out[RECORD_BOX_BYTES])
{
    out[0] = BOX_VERSION;
    out[1] = (char)box->state;
    bytes_put64(out + 2, box->generation);
    memcpy(out + 10, &box->address, 16);
    bytes_put16(out + 26, box->fixed_port);
}

static void set_id(char out[BOX_ID_MAX + 1], str_t id)
{
    assert(id.n <= BOX_ID_MAX);
    memcpy(out, id.p, id.n);
    out[id.n] = '\0';
}

bool record_decode_preview(str_t record, str_t id, uint16_t port, store_preview_t *out)
{
    if (record.n != RECORD_PREVIEW_BYTES || record.p[0] != PREVIEW_VERSION)
        return false;
    uint8_t host_header = (uint8_t)record.p[17];
    if (host_header > HOST_HEADER_LOCALHOST)
        return false;
    set_id(out->id, id);
    out->port = port;
    out->version = bytes_get64(record.p + 1);
    out->created_at = bytes_get64(record.p + 9);
    out->host_header = (host_header_t)host_header;
    return true;
}

bool record_decode_box(str_t record, str_t id, store_box_t *out)
{
    if (record.n != RECORD_BOX_BYTES || record.p[0] != BOX_VERSION)
        return false;
    uint8_t state = (uint8_t)record.p[1];
    if (state == BOX_UNKNOWN || state > BOX_GONE)
        return false;
    set_id(out->id, id);
    out->state = (box_state_t)state;
    out->generation = bytes_get64(record.p + 2);
    memcpy(&out->address, record.p + 10, 16);
    out->fixed_port = bytes_get16(record.p + 26);
    return true;
}
