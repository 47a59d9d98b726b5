#include "docker_labels.h"

#include <stdio.h>
#include <stdlib.h>

#include "conf_value.h"

str_t docker_label(const json_t *labels, const char *prefix, const char *name)
{
    char key[DOCKER_LABEL_MAX + 32];
    int n = snprintf(key, sizeof(key), "%s.%s", prefix, name);
    const json_t *value = n > 0 && (size_t)n < sizeof(key) ? json_object_get(labels, key) : NULL;
    if (!json_is_string(value))
        return str_make(NULL, 0);
    return str_make(json_string_value(value), json_string_length(value));
}

/* True for an unreadable label; false also without one. */
static bool read_bool(str_t text, bool *out)
{
    text = str_trim(text);
    if (text.p == NULL)
        return false;
    *out = str_eq(text, STR("true")) || str_eq(text, STR("1"));
    return !*out && text.n != 0 && !str_eq(text, STR("false")) && !str_eq(text, STR("0"));
}

static void read_keep_alive(str_t text, docker_container_t *out)
{
    if (!read_bool(text, &out->box.keep_alive))
        return;
    out->box.keep_alive = true;
    out->doubt = "its label keep_alive is neither true nor false: it is never paused";
}

static void read_ephemeral(str_t text, docker_container_t *out)
{
    if (!read_bool(text, &out->box.ephemeral))
        return;
    out->box.ephemeral = true;
    out->doubt = "its label ephemeral is neither true nor false: it takes no previews";
}

static void read_idle(str_t text, docker_container_t *out)
{
    text = str_trim(text);
    if (text.p == NULL)
        return;
    uint64_t ms = 0;
    bool off = str_eq(text, STR("never")) || str_eq(text, STR("0"));
    if (off || (conf_value_duration(text, &ms) == NULL && ms <= UINT32_MAX))
        out->box.idle_ms = (uint32_t)ms;
    else
        out->doubt = "its label idle is neither a duration such as 30m nor \"never\": it has no effect";
}

static void read_start_timeout(str_t text, docker_container_t *out)
{
    uint64_t ms = 0;
    text = str_trim(text);
    if (text.p == NULL)
        return;
    if (conf_value_duration(text, &ms) == NULL && ms <= CONF_START_MAX_MS)
        out->box.start_ms = (uint32_t)ms;
    else
        out->doubt = "its label start_timeout is not a duration such as 90s, up to 1h: it has no effect";
}

static void read_expires_at(str_t text, docker_container_t *out)
{
    text = str_trim(text);
    if (text.p != NULL && !str_to_uint(text, UINT64_MAX, &out->box.expires_at))
        out->doubt = "its label expires_at is not a number of seconds since 1970: it has no effect";
}

static void read_ports(str_t text, docker_container_t *out)
{
    if (text.p == NULL)
        return;
    provider_box_t *box = &out->box;
    str_t element;
    while (str_next_element(&text, &element)) {
        uint64_t port;
        if (!str_to_uint(element, 65535, &port) || port == 0)
            out->doubt = "its label ports has a word that is not a port: the word is ignored";
        else if (box->port_count == STORE_BOX_PORTS_MAX)
            out->doubt = "its label ports has more ports than a box may have: the first 16 count";
        else
            box->ports[box->port_count++] = (uint16_t)port;
    }
    if (box->port_count == 0)
        box->port_count = 1; /* the list holds only port 0, which no preview has */
}

static void read_init(str_t text, docker_container_t *out)
{
    if (text.n == 0)
        return;
    if (text.n > DOCKER_INIT_MAX) {
        out->doubt = "its label init is too long: it is not run";
        return;
    }
    out->init = strndup(text.p, text.n);
    if (out->init == NULL)
        abort();
}

bool docker_read_labels(const json_t *labels, const char *prefix, uint32_t idle_ms, docker_container_t *out)
{
    str_t id = docker_label(labels, prefix, "id");
    if (!box_id_valid(id))
        return false;
    memcpy(out->box.id, id.p, id.n);
    out->box.id[id.n] = '\0';
    out->box.idle_ms = idle_ms;
    read_keep_alive(docker_label(labels, prefix, "keep_alive"), out);
    read_idle(docker_label(labels, prefix, "idle"), out);
    read_start_timeout(docker_label(labels, prefix, "start_timeout"), out);
    read_init(docker_label(labels, prefix, "init"), out);
    read_ports(docker_label(labels, prefix, "ports"), out);
    read_ephemeral(docker_label(labels, prefix, "ephemeral"), out);
    read_expires_at(docker_label(labels, prefix, "expires_at"), out);
    return true;
}
