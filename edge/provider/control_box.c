#include "control_box.h"

#include <arpa/inet.h>

#include <jansson.h>

#include "address.h"

/* 2^53: not every JSON reader keeps larger numbers exact. */
#define SECONDS_MAX 9007199254740992

static const struct state_name {
    const char *name;
    control_state_t state;
    box_state_t box_state;
} states[] = {
    {"running", CONTROL_RUNNING, BOX_RUNNING}, {"paused", CONTROL_SLEEPING, BOX_PAUSED},
    {"stopped", CONTROL_SLEEPING, BOX_PAUSED}, {"creating", CONTROL_CREATING, BOX_PAUSED},
    {"error", CONTROL_ERROR, BOX_PAUSED},      {"gone", CONTROL_GONE, BOX_GONE},
    {"deleted", CONTROL_GONE, BOX_GONE},
};

/* A field; NULL if missing or null. */
static const json_t *field(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

static const char *read_id(const json_t *object, str_t id, control_box_t *out)
{
    const json_t *value = field(object, "id");
    if (!json_is_string(value) || !str_eq(str_make(json_string_value(value), json_string_length(value)), id))
        return "\"id\" must be the id of the box that was asked for";
    memcpy(out->box.id, id.p, id.n);
    out->box.id[id.n] = '\0';
    return NULL;
}

static const char *read_state(const json_t *object, control_box_t *out)
{
    const json_t *value = field(object, "state");
    for (size_t i = 0; json_is_string(value) && i < sizeof(states) / sizeof(states[0]); i++) {
        if (strcmp(json_string_value(value), states[i].name) != 0)
            continue;
        out->state = states[i].state;
        out->box.state = states[i].box_state;
        return NULL;
    }
    return "\"state\" must be running, paused, stopped, creating, gone, deleted or error";
}

static const char *read_address(const json_t *object, control_box_t *out)
{
    const json_t *value = field(object, "address");
    if (value == NULL)
        return NULL;
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    return address_parse(text, &out->box.address) ? NULL : "\"address\" must be an IPv4 or IPv6 address";
}

static bool is_port(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 1 && json_integer_value(value) <= 65535;
}

static const char *read_ports(const json_t *object, control_box_t *out)
{
    const json_t *port = field(object, "port");
    const json_t *ports = field(object, "ports");
    if (port != NULL && !is_port(port))
        return "\"port\" must be a number from 1 to 65535";
    out->box.fixed_port = (uint16_t)json_integer_value(port);
    if (ports == NULL)
        return NULL;
    size_t count = json_array_size(ports);
    if (!json_is_array(ports) || count == 0 || count > STORE_BOX_PORTS_MAX)
        return "\"ports\" must be an array of 1 to 16 ports";
    for (size_t i = 0; i < count; i++) {
        if (!is_port(json_array_get(ports, i)))
            return "\"ports\" must hold numbers from 1 to 65535";
        out->box.ports[i] = (uint16_t)json_integer_value(json_array_get(ports, i));
    }
    out->box.port_count = (uint8_t)count;
    return NULL;
}

static const char *read_flags(const json_t *object, control_box_t *out)
{
    const json_t *keep_alive = field(object, "keep_alive");
    const json_t *ephemeral = field(object, "ephemeral");
    const json_t *expires_at = field(object, "expires_at");
    if (keep_alive != NULL && !json_is_boolean(keep_alive))
        return "\"keep_alive\" must be true or false";
    if (ephemeral != NULL && !json_is_boolean(ephemeral))
        return "\"ephemeral\" must be true or false";
    if (expires_at != NULL && (!json_is_integer(expires_at) || json_integer_value(expires_at) < 0 ||
                               json_integer_value(expires_at) > SECONDS_MAX))
        return "\"expires_at\" must be a whole number of seconds since 1970";
    out->box.keep_alive = json_is_true(keep_alive);
    out->box.ephemeral = json_is_true(ephemeral);
    out->box.expires_at = (uint64_t)json_integer_value(expires_at);
    return NULL;
}

static const char *read_start_timeout(const json_t *object, control_box_t *out)
{
    const json_t *value = field(object, "start_timeout");
    json_int_t seconds = json_integer_value(value);
    if (value != NULL && (!json_is_integer(value) || seconds < 1 || seconds > CONF_START_MAX_MS / 1000))
        return "\"start_timeout\" must be a whole number of seconds, from 1 to 3600";
    out->box.start_ms = (uint32_t)seconds * 1000;
    return NULL;
}

static const char *read_incarnation(const json_t *object, control_box_t *out)
{
    const json_t *value = field(object, "incarnation");
    if (value == NULL)
        return NULL;
    size_t n = json_string_length(value);
    if (!json_is_string(value) || n == 0 || n > CONTROL_INCARNATION_MAX)
        return "\"incarnation\" must be a string of 1 to 128 bytes";
    memcpy(out->incarnation, json_string_value(value), n + 1);
    return NULL;
}

static const char *read_all(const json_t *object, str_t id, control_box_t *out)
{
    const char *why = read_id(object, id, out);
    if (why == NULL)
        why = read_state(object, out);
    if (why == NULL)
        why = read_address(object, out);
    if (why == NULL)
        why = read_ports(object, out);
    if (why == NULL)
        why = read_flags(object, out);
    if (why == NULL)
        why = read_start_timeout(object, out);
    if (why == NULL)
        why = read_incarnation(object, out);
    return why;
}

const char *control_box_read(str_t json, str_t id, control_box_t *out)
{
    memset(out, 0, sizeof(*out));
    if (json.n > CONTROL_BOX_BYTES_MAX)
        return "it must be 16 KiB at most";
    if (!box_id_valid(id))
        return "\"id\" must be the id of a box";
    json_t *object = json_loadb(json.p != NULL ? json.p : "", json.n, JSON_REJECT_DUPLICATES, NULL);
    const char *why = json_is_object(object) ? read_all(object, id, out) : "it must be a JSON object";
    json_decref(object);
    if (why != NULL)
        memset(out, 0, sizeof(*out));
    return why;
}
