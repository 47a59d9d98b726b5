#include "record.h"

#include <assert.h>

#include "bytes.h"

#define PREVIEW_VERSION_PUBLIC 1
#define PREVIEW_VERSION        2
#define BOX_VERSION            3
#define PREVIEW_VERSION_ALIAS  3
#define ALIAS_VERSION          1
#define BLOCK_VERSION          1
#define KEYS_VERSION           1
#define KEY_VERSION            1
#define NAME_VERSION           1
#define DELETION_VERSION       1
#define LINK_VERSION           1
#define LINK_ALIAS_VERSION     1

#define PREVIEW_PUBLIC_BYTES 18
#define PREVIEW_FIXED_BYTES  94
#define KEY_FIXED_BYTES      19

#define PREVIEW_HAS_BEARER 1
#define PREVIEW_HAS_BASIC  2
#define PREVIEW_IS_H2C     4
#define PREVIEW_BACKGROUND 8
#define PREVIEW_FLAGS      15

/* The sequence's top bits have a mode that earlier edges do not know; byte 17 has the next best one. */
#define PREVIEW_MODE_SHIFT 60
#define PREVIEW_SEQUENCE   ((UINT64_C(1) << PREVIEW_MODE_SHIFT) - 1)

#define LINK_FIXED_BYTES     87
#define LINK_ONCE            1
#define LINK_READ_ONLY       2
#define LINK_ALLOW_WEBSOCKET 4
#define LINK_FLAGS           7
#define LINK_ALIAS_FIXED     11

#define BOX_START_AT   (64 + 4 * STORE_BOX_PORTS_MAX)
#define BOX_KEEP_ALIVE 1
#define BOX_EPHEMERAL  2
#define BOX_DOUBTED    4

/* The mode for an edge that knows only public and localhost. */
static host_header_t nearest_mode(host_header_t host_header)
{
    if (host_header == HOST_HEADER_LOCALHOST_BARE)
        return HOST_HEADER_LOCALHOST;
    return host_header <= HOST_HEADER_LOCALHOST ? host_header : HOST_HEADER_DEFAULT;
}

size_t record_encode_preview(const store_preview_t *preview, char out[RECORD_PREVIEW_MAX])
{
    size_t label = strlen(preview->label), origins = strlen(preview->allow_origins);
    assert(label <= STORE_LABEL_MAX && origins <= STORE_ORIGINS_MAX);
    size_t alias = strlen(preview->alias);
    assert(alias <= BOX_ID_MAX);
    out[0] = alias != 0 ? PREVIEW_VERSION_ALIAS : PREVIEW_VERSION;
    host_header_t nearest = nearest_mode(preview->host_header);
    uint64_t mode = preview->host_header != nearest ? (uint64_t)preview->host_header : 0;
    bytes_put64(out + 1, (preview->version & PREVIEW_SEQUENCE) | mode << PREVIEW_MODE_SHIFT);
    bytes_put64(out + 9, preview->created_at);
    out[17] = (char)nearest;
    out[18] = (char)((preview->bearer ? PREVIEW_HAS_BEARER : 0) | (preview->basic ? PREVIEW_HAS_BASIC : 0) |
                     (preview->protocol == PREVIEW_H2C ? PREVIEW_IS_H2C : 0) |
                     (preview->background_wakes ? PREVIEW_BACKGROUND : 0));
    bytes_put64(out + 19, preview->expires_at);
    memcpy(out + 27, preview->bearer_sha256, 32);
    memcpy(out + 59, preview->basic_sha256, 32);
    out[91] = (char)label;
    bytes_put16(out + 92, (uint16_t)origins);
    memcpy(out + PREVIEW_FIXED_BYTES, preview->label, label);
    memcpy(out + PREVIEW_FIXED_BYTES + label, preview->allow_origins, origins);
    memcpy(out + PREVIEW_FIXED_BYTES + label + origins, preview->alias, alias);
    return PREVIEW_FIXED_BYTES + label + origins + alias;
}

static void put_ports(char *out, const uint16_t ports[STORE_BOX_PORTS_MAX])
{
    for (size_t i = 0; i < STORE_BOX_PORTS_MAX; i++)
        bytes_put16(out + 2 * i, ports[i]);
}

static void get_ports(const char *record, uint16_t ports[STORE_BOX_PORTS_MAX])
{
    for (size_t i = 0; i < STORE_BOX_PORTS_MAX; i++)
        ports[i] = bytes_get16(record + 2 * i);
}

void record_encode_box(const store_box_t *box, char out[RECORD_BOX_BYTES])
{
    assert(box->port_count <= STORE_BOX_PORTS_MAX && box->listening_count <= STORE_BOX_PORTS_MAX);
    out[0] = BOX_VERSION;
    out[1] = (char)box->state;
    bytes_put64(out + 2, box->generation);
    memcpy(out + 10, &box->address, 16);
    bytes_put16(out + 26, box->fixed_port);
    out[28] = (char)box->provider;
    out[29] = (char)((box->keep_alive ? BOX_KEEP_ALIVE : 0) | (box->ephemeral ? BOX_EPHEMERAL : 0) |
                     (box->doubted ? BOX_DOUBTED : 0));
    bytes_put64(out + 30, box->expires_at);
    bytes_put64(out + 38, box->idle_ms);
    bytes_put64(out + 46, box->pid);
    bytes_put64(out + 54, box->settles_at_ms);
    out[62] = (char)box->port_count;
    out[63] = (char)box->listening_count;
    put_ports(out + 64, box->ports);
    put_ports(out + 64 + 2 * STORE_BOX_PORTS_MAX, box->listening);
    bytes_put64(out + BOX_START_AT, box->start_ms);
}

static void set_id(char out[BOX_ID_MAX + 1], str_t id)
{
    assert(id.n <= BOX_ID_MAX);
    memcpy(out, id.p, id.n);
    out[id.n] = '\0';
}

/* Decodes the fields that version 2 added. */
static bool decode_rest(str_t record, store_preview_t *out)
{
    uint8_t flags = (uint8_t)record.p[18];
    size_t label = (uint8_t)record.p[91], origins = bytes_get16(record.p + 92);
    if (flags > PREVIEW_FLAGS || label > STORE_LABEL_MAX || origins > STORE_ORIGINS_MAX ||
        record.n < PREVIEW_FIXED_BYTES + label + origins)
        return false;
    const char *text = record.p + PREVIEW_FIXED_BYTES;
    size_t alias = record.n - PREVIEW_FIXED_BYTES - label - origins;
    bool has_alias = record.p[0] == PREVIEW_VERSION_ALIAS;
    if (memchr(text, '\0', label + origins) != NULL || has_alias != (alias != 0) ||
        (has_alias && !store_alias_valid(str_make(text + label + origins, alias))))
        return false;
    out->bearer = (flags & PREVIEW_HAS_BEARER) != 0;
    out->basic = (flags & PREVIEW_HAS_BASIC) != 0;
    out->protocol = (flags & PREVIEW_IS_H2C) != 0 ? PREVIEW_H2C : PREVIEW_HTTP1;
    out->background_wakes = (flags & PREVIEW_BACKGROUND) != 0;
    out->expires_at = bytes_get64(record.p + 19);
    memcpy(out->bearer_sha256, record.p + 27, 32);
    memcpy(out->basic_sha256, record.p + 59, 32);
    memcpy(out->label, text, label);
    memcpy(out->allow_origins, text + label, origins);
    memcpy(out->alias, text + label + origins, alias);
    return true;
}

bool record_decode_preview(str_t record, str_t id, uint16_t port, store_preview_t *out)
{
    bool public = record.n == PREVIEW_PUBLIC_BYTES && record.p[0] == PREVIEW_VERSION_PUBLIC;
    if (!public && (record.n < PREVIEW_FIXED_BYTES ||
                    (record.p[0] != PREVIEW_VERSION && record.p[0] != PREVIEW_VERSION_ALIAS)))
        return false;
    uint8_t nearest = (uint8_t)record.p[17];
    uint64_t sequence = bytes_get64(record.p + 1), mode = sequence >> PREVIEW_MODE_SHIFT;
    *out = (store_preview_t){.port = port};
    if (nearest > HOST_HEADER_LOCALHOST || mode > HOST_HEADER_LAST ||
        (mode != 0 &&
         (mode <= HOST_HEADER_LOCALHOST || nearest_mode((host_header_t)mode) != (host_header_t)nearest)) ||
        (!public && !decode_rest(record, out)))
        return false;
    set_id(out->id, id);
    out->version = sequence & PREVIEW_SEQUENCE;
    out->created_at = bytes_get64(record.p + 9);
    out->host_header = mode != 0 ? (host_header_t)mode : (host_header_t)nearest;
    return true;
}

void record_encode_block(const store_block_t *block, char out[RECORD_BLOCK_BYTES])
{
    out[0] = BLOCK_VERSION;
    out[1] = (char)block->kind;
    bytes_put64(out + 2, block->created_at);
}

bool record_decode_block(str_t record, str_t text, store_block_t *out)
{
    assert(text.n <= STORE_BLOCK_TEXT_MAX);
    if (record.n != RECORD_BLOCK_BYTES || record.p[0] != BLOCK_VERSION || (uint8_t)record.p[1] > BLOCK_CIDR)
        return false;
    *out = (store_block_t){.kind = (store_block_kind_t)record.p[1], .created_at = bytes_get64(record.p + 2)};
    memcpy(out->text, text.p, text.n);
    return true;
}

void record_encode_keys(const store_cookie_keys_t *keys, char out[RECORD_KEYS_BYTES])
{
    out[0] = KEYS_VERSION;
    bytes_put64(out + 1, keys->rotated_at);
    memcpy(out + 9, keys->current, 32);
    memcpy(out + 41, keys->previous, 32);
}

bool record_decode_keys(str_t record, store_cookie_keys_t *out)
{
    if (record.n != RECORD_KEYS_BYTES || record.p[0] != KEYS_VERSION)
        return false;
    out->rotated_at = bytes_get64(record.p + 1);
    memcpy(out->current, record.p + 9, 32);
    memcpy(out->previous, record.p + 41, 32);
    return true;
}

size_t record_encode_key(const store_key_t *key, char out[RECORD_KEY_MAX])
{
    size_t name = strlen(key->name), plan = strlen(key->plan);
    assert(name <= STORE_KEY_NAME_MAX && plan <= STORE_KEY_NAME_MAX);
    out[0] = KEY_VERSION;
    bytes_put64(out + 1, key->created_at);
    bytes_put64(out + 9, key->revoked_at);
    out[17] = (char)name;
    out[18] = (char)plan;
    memcpy(out + KEY_FIXED_BYTES, key->name, name);
    memcpy(out + KEY_FIXED_BYTES + name, key->plan, plan);
    return KEY_FIXED_BYTES + name + plan;
}

bool record_decode_key(str_t record, const uint8_t sha256[32], store_key_t *out)
{
    if (record.n < KEY_FIXED_BYTES || record.p[0] != KEY_VERSION)
        return false;
    size_t name = (uint8_t)record.p[17], plan = (uint8_t)record.p[18];
    if (name > STORE_KEY_NAME_MAX || plan > STORE_KEY_NAME_MAX || record.n != KEY_FIXED_BYTES + name + plan)
        return false;
    const char *text = record.p + KEY_FIXED_BYTES;
    if (memchr(text, '\0', name + plan) != NULL)
        return false;
    *out = (store_key_t){.created_at = bytes_get64(record.p + 1), .revoked_at = bytes_get64(record.p + 9)};
    memcpy(out->sha256, sha256, 32);
    memcpy(out->name, text, name);
    memcpy(out->plan, text + name, plan);
    return true;
}

void record_encode_name(const uint8_t sha256[32], char out[RECORD_NAME_BYTES])
{
    out[0] = NAME_VERSION;
    memcpy(out + 1, sha256, 32);
}

bool record_decode_name(str_t record, uint8_t sha256[32])
{
    if (record.n != RECORD_NAME_BYTES || record.p[0] != NAME_VERSION)
        return false;
    memcpy(sha256, record.p + 1, 32);
    return true;
}

/* Decodes the fields after the box's address and port. */
static bool decode_box_rest(str_t record, store_box_t *out)
{
    uint8_t provider = (uint8_t)record.p[28], flags = (uint8_t)record.p[29];
    uint64_t idle_ms = bytes_get64(record.p + 38), pid = bytes_get64(record.p + 46);
    uint64_t start_ms = bytes_get64(record.p + BOX_START_AT);
    out->port_count = (uint8_t)record.p[62];
    out->listening_count = (uint8_t)record.p[63];
    if (provider > PROVIDER_HTTP || flags > (BOX_KEEP_ALIVE | BOX_EPHEMERAL | BOX_DOUBTED) ||
        idle_ms > UINT32_MAX || pid > UINT32_MAX || start_ms > UINT32_MAX ||
        out->port_count > STORE_BOX_PORTS_MAX || out->listening_count > STORE_BOX_PORTS_MAX)
        return false;
    out->provider = (box_provider_t)provider;
    out->keep_alive = (flags & BOX_KEEP_ALIVE) != 0;
    out->ephemeral = (flags & BOX_EPHEMERAL) != 0;
    out->doubted = (flags & BOX_DOUBTED) != 0;
    out->expires_at = bytes_get64(record.p + 30);
    out->idle_ms = (uint32_t)idle_ms;
    out->pid = (uint32_t)pid;
    out->start_ms = (uint32_t)start_ms;
    out->settles_at_ms = bytes_get64(record.p + 54);
    get_ports(record.p + 64, out->ports);
    get_ports(record.p + 64 + 2 * STORE_BOX_PORTS_MAX, out->listening);
    return true;
}

bool record_decode_box(str_t record, str_t id, store_box_t *out)
{
    if (record.n != RECORD_BOX_BYTES || record.p[0] != BOX_VERSION)
        return false;
    uint8_t state = (uint8_t)record.p[1];
    if (state == BOX_UNKNOWN || state > BOX_GONE)
        return false;
    memset(out, 0, sizeof(*out)); /* records of boxes are compared as bytes */
    set_id(out->id, id);
    out->state = (box_state_t)state;
    out->generation = bytes_get64(record.p + 2);
    memcpy(&out->address, record.p + 10, 16);
    out->fixed_port = bytes_get16(record.p + 26);
    return decode_box_rest(record, out);
}

size_t record_encode_alias(str_t id, char out[RECORD_ALIAS_MAX])
{
    assert(id.n <= BOX_ID_MAX);
    out[0] = ALIAS_VERSION;
    memcpy(out + 1, id.p, id.n);
    return 1 + id.n;
}

bool record_decode_alias(str_t record, char id[BOX_ID_MAX + 1])
{
    if (record.n < 2 || record.p[0] != ALIAS_VERSION || !box_id_valid(str_from_offset(record, 1)))
        return false;
    set_id(id, str_from_offset(record, 1));
    return true;
}

void record_encode_deletion(const store_deletion_t *deletion, char out[RECORD_DELETION_BYTES])
{
    out[0] = DELETION_VERSION;
    bytes_put64(out + 1, deletion->call);
    bytes_put64(out + 9, deletion->requested_at_ms);
    bytes_put64(out + 17, deletion->closed_at_ms);
    bytes_put64(out + 25, (uint64_t)deletion->birth << 32 | deletion->pid);
    memcpy(out + 33, deletion->key_sha256, 32);
}

bool record_decode_deletion(str_t record, str_t id, store_deletion_t *out)
{
    if (record.n != RECORD_DELETION_BYTES || record.p[0] != DELETION_VERSION ||
        (uint32_t)bytes_get64(record.p + 25) > INT32_MAX)
        return false;
    *out = (store_deletion_t){.call = bytes_get64(record.p + 1),
                              .requested_at_ms = bytes_get64(record.p + 9),
                              .closed_at_ms = bytes_get64(record.p + 17),
                              .pid = (uint32_t)bytes_get64(record.p + 25),
                              .birth = (uint32_t)(bytes_get64(record.p + 25) >> 32)};
    set_id(out->id, id);
    memcpy(out->key_sha256, record.p + 33, 32);
    return true;
}

size_t record_encode_link(const store_link_t *link, char out[RECORD_LINK_MAX])
{
    size_t label = strlen(link->label), path = strlen(link->path), alias = strlen(link->alias);
    assert(label <= STORE_LABEL_MAX && path <= STORE_LINK_PATH_MAX && alias <= BOX_ID_MAX);
    out[0] = LINK_VERSION;
    out[1] = (char)((link->once ? LINK_ONCE : 0) | (link->read_only ? LINK_READ_ONLY : 0) |
                    (link->allow_websocket ? LINK_ALLOW_WEBSOCKET : 0));
    out[2] = (char)link->sessions;
    bytes_put64(out + 3, link->id);
    bytes_put64(out + 11, link->version);
    memcpy(out + 19, link->sha256, 32);
    bytes_put64(out + 51, link->created_at);
    bytes_put64(out + 59, link->expires_at);
    bytes_put64(out + 67, link->opened);
    bytes_put64(out + 75, link->used_at);
    out[83] = (char)label;
    bytes_put16(out + 84, (uint16_t)path);
    out[86] = (char)alias;
    memcpy(out + LINK_FIXED_BYTES, link->label, label);
    memcpy(out + LINK_FIXED_BYTES + label, link->path, path);
    memcpy(out + LINK_FIXED_BYTES + label + path, link->alias, alias);
    return LINK_FIXED_BYTES + label + path + alias;
}

/* Splits "<box>-<port>". */
static bool decode_link_name(str_t name, store_link_t *out)
{
    uint64_t port;
    const char *dash = name.n != 0 ? memrchr(name.p, '-', name.n) : NULL;
    str_t box = str_make(name.p, dash != NULL ? (size_t)(dash - name.p) : 0);
    if (!box_id_valid(box) || !str_to_uint(str_from_offset(name, box.n + 1), 65535, &port) || port == 0)
        return false;
    set_id(out->box, box);
    out->port = (uint16_t)port;
    return true;
}

static bool decode_link_texts(str_t record, store_link_t *out)
{
    size_t label = (uint8_t)record.p[83], path = bytes_get16(record.p + 84), alias = (uint8_t)record.p[86];
    const char *text = record.p + LINK_FIXED_BYTES;
    if (label > STORE_LABEL_MAX || path > STORE_LINK_PATH_MAX || alias > BOX_ID_MAX ||
        record.n != LINK_FIXED_BYTES + label + path + alias ||
        memchr(text, '\0', label + path + alias) != NULL || path == 0 || text[label] != '/')
        return false;
    memcpy(out->label, text, label);
    memcpy(out->path, text + label, path);
    memcpy(out->alias, text + label + path, alias);
    return alias == 0 || store_link_alias_valid(str_make(out->alias, alias));
}

bool record_decode_link(str_t record, str_t name, uint16_t place, store_link_t *out)
{
    *out = (store_link_t){.port = 0};
    if (record.n < LINK_FIXED_BYTES || record.p[0] != LINK_VERSION || !decode_link_name(name, out) ||
        !decode_link_texts(record, out))
        return false;
    uint8_t flags = (uint8_t)record.p[1];
    out->once = (flags & LINK_ONCE) != 0;
    out->read_only = (flags & LINK_READ_ONLY) != 0;
    out->allow_websocket = (flags & LINK_ALLOW_WEBSOCKET) != 0;
    out->sessions = (uint8_t)record.p[2];
    out->id = bytes_get64(record.p + 3);
    out->version = bytes_get64(record.p + 11);
    memcpy(out->sha256, record.p + 19, 32);
    out->created_at = bytes_get64(record.p + 51);
    out->expires_at = bytes_get64(record.p + 59);
    out->opened = bytes_get64(record.p + 67);
    out->used_at = bytes_get64(record.p + 75);
    return flags <= LINK_FLAGS && out->sessions != 0 && (out->id & 0xff) == place &&
           place < STORE_LINKS_PER_PREVIEW;
}

size_t record_encode_link_alias(const store_link_t *link, char out[RECORD_LINK_MAX])
{
    size_t box = strlen(link->box);
    out[0] = LINK_ALIAS_VERSION;
    bytes_put64(out + 1, link->id);
    bytes_put16(out + 9, link->port);
    memcpy(out + LINK_ALIAS_FIXED, link->box, box);
    return LINK_ALIAS_FIXED + box;
}

bool record_decode_link_alias(str_t record, char box[BOX_ID_MAX + 1], uint16_t *port, uint64_t *id)
{
    if (record.n <= LINK_ALIAS_FIXED || record.p[0] != LINK_ALIAS_VERSION ||
        !box_id_valid(str_from_offset(record, LINK_ALIAS_FIXED)))
        return false;
    *id = bytes_get64(record.p + 1);
    *port = bytes_get16(record.p + 9);
    set_id(box, str_from_offset(record, LINK_ALIAS_FIXED));
    return *port != 0;
}

bool record_decode_any_link(str_t record, str_t name, uint16_t place, store_link_t *out)
{
    if (name.n == 0 || name.p[0] != '~')
        return record_decode_link(record, name, place, out);
    return record_decode_link_alias(record, out->box, &out->port, &out->id);
}
