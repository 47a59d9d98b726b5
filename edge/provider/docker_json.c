#include "docker_json.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <time.h>

#include "address.h"
#include "docker_labels.h"

bool docker_id_valid(str_t id)
{
    if (id.n < 12 || id.n > DOCKER_ID_MAX)
        return false;
    for (size_t i = 0; i < id.n; i++)
        if ((id.p[i] < '0' || id.p[i] > '9') && (id.p[i] < 'a' || id.p[i] > 'f'))
            return false;
    return true;
}

static json_t *load(str_t json)
{
    return json_loadb(json.n != 0 ? json.p : "", json.n, 0, NULL);
}

/* The string at `key`; without one, p is NULL. */
static str_t text_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? str_make(json_string_value(value), json_string_length(value))
                                 : str_make(NULL, 0);
}

static bool take_id(str_t text, char out[DOCKER_ID_MAX + 1])
{
    out[0] = '\0';
    if (!docker_id_valid(text))
        return false;
    memcpy(out, text.p, text.n);
    out[text.n] = '\0';
    return true;
}

/* ---- times ---- */

/* Takes `n` digits and, unless it is NUL, the character `then` off `*rest`. */
static bool take_digits(str_t *rest, size_t n, char then, uint64_t *out)
{
    size_t all = n + (then != '\0');
    if (rest->n < all || !str_to_uint(str_make(rest->p, n), UINT32_MAX, out) ||
        (then != '\0' && rest->p[n] != then))
        return false;
    *rest = str_from_offset(*rest, all);
    return true;
}

/* Takes an optional fraction such as ".123456" off `*rest`. */
static bool take_fraction(str_t *rest, uint64_t *ns)
{
    *ns = 0;
    if (rest->n == 0 || rest->p[0] != '.')
        return true;
    uint64_t unit = 1000000000;
    size_t i = 1;
    for (; i < rest->n && rest->p[i] >= '0' && rest->p[i] <= '9' && unit > 1; i++) {
        unit /= 10;
        *ns += unit * (uint64_t)(rest->p[i] - '0');
    }
    *rest = str_from_offset(*rest, i);
    return i > 1;
}

/* "Z" or "+01:00" as seconds east. */
static bool read_zone(str_t text, int64_t *seconds)
{
    *seconds = 0;
    if (str_eq(text, STR("Z")))
        return true;
    if (text.n != 6 || (text.p[0] != '+' && text.p[0] != '-'))
        return false;
    bool west = text.p[0] == '-';
    uint64_t hours, minutes;
    text = str_from_offset(text, 1);
    if (!take_digits(&text, 2, ':', &hours) || !take_digits(&text, 2, '\0', &minutes) || hours > 23 ||
        minutes > 59)
        return false;
    *seconds = (int64_t)(hours * 3600 + minutes * 60) * (west ? -1 : 1);
    return true;
}

uint64_t docker_read_time(str_t text)
{
    uint64_t year, month, day, hour, minute, second, ns;
    int64_t east;
    if (!take_digits(&text, 4, '-', &year) || !take_digits(&text, 2, '-', &month) ||
        !take_digits(&text, 2, 'T', &day) || !take_digits(&text, 2, ':', &hour) ||
        !take_digits(&text, 2, ':', &minute) || !take_digits(&text, 2, '\0', &second) ||
        !take_fraction(&text, &ns) || !read_zone(text, &east))
        return 0;
    if (year < 1970 || year > 2500 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 ||
        minute > 59 || second > 60)
        return 0;
    struct tm tm = {.tm_year = (int)year - 1900,
                    .tm_mon = (int)month - 1,
                    .tm_mday = (int)day,
                    .tm_hour = (int)hour,
                    .tm_min = (int)minute,
                    .tm_sec = (int)second};
    int64_t at = (int64_t)timegm(&tm) - east;
    return at > 0 ? (uint64_t)at * 1000000000 + ns : 0;
}

/* ---- a container ---- */

static docker_state_t read_state(str_t status)
{
    static const struct {
        const char *name;
        docker_state_t state;
    } states[] = {
        {"running", DOCKER_RUNNING},     {"paused", DOCKER_PAUSED},     {"created", DOCKER_STOPPED},
        {"exited", DOCKER_STOPPED},      {"stopped", DOCKER_STOPPED},   {"configured", DOCKER_STOPPED},
        {"initialized", DOCKER_STOPPED}, {"removing", DOCKER_GONE},     {"dead", DOCKER_GONE},
        {"restarting", DOCKER_CHANGING}, {"stopping", DOCKER_CHANGING},
    };
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (str_eq(status, str_from(states[i].name)))
            return states[i].state;
    return DOCKER_CHANGING;
}

/* The box's state for the edge. */
static box_state_t box_state(docker_state_t state)
{
    switch (state) {
    case DOCKER_RUNNING:
        return BOX_RUNNING;
    case DOCKER_PAUSED:
    case DOCKER_STOPPED:
    case DOCKER_CHANGING:
        return BOX_PAUSED;
    case DOCKER_GONE:
        break;
    }
    return BOX_GONE;
}

/* The address in one network; IPv4 as mapped IPv6. False without a usable one. */
static bool read_address(const json_t *network, struct in6_addr *out)
{
    static const struct in6_addr nowhere;
    const char *v4 = json_string_value(json_object_get(network, "IPAddress"));
    const char *v6 = json_string_value(json_object_get(network, "GlobalIPv6Address"));
    struct in_addr address;
    if (v4 != NULL && inet_pton(AF_INET, v4, &address) == 1 && address.s_addr != 0) {
        *out = address_from_v4(&address);
        return true;
    }
    return v6 != NULL && inet_pton(AF_INET6, v6, out) == 1 && memcmp(out, &nowhere, sizeof(nowhere)) != 0;
}

/* Takes the address in the first network by name, so that it stays the same. */
static void read_networks(const json_t *networks, struct in6_addr *out)
{
    const char *first = NULL, *name;
    const json_t *network;
    json_object_foreach((json_t *)networks, name, network)
    {
        struct in6_addr address;
        if ((first != NULL && strcmp(name, first) >= 0) || !read_address(network, &address))
            continue;
        first = name;
        *out = address;
    }
}

static uint32_t read_pid(const json_t *state)
{
    json_int_t pid = json_integer_value(json_object_get(state, "Pid"));
    return pid > 0 && pid <= INT32_MAX ? (uint32_t)pid : 0;
}

static int read_exit_code(const json_t *state)
{
    json_int_t code = json_integer_value(json_object_get(state, "ExitCode"));
    return code >= 0 && code <= 255 ? (int)code : 255;
}

static docker_read_t read_container(const json_t *root, const char *label, uint32_t idle_ms,
                                    docker_container_t *out)
{
    const json_t *state = json_object_get(root, "State");
    const json_t *labels = json_object_get(json_object_get(root, "Config"), "Labels");
    str_t status = text_of(state, "Status");
    if (!take_id(text_of(root, "Id"), out->id) || status.p == NULL)
        return DOCKER_MALFORMED;
    if (!docker_read_labels(labels, label, idle_ms, out))
        return DOCKER_NOT_A_BOX;
    out->created_ns = docker_read_time(text_of(root, "Created"));
    out->started_ns = docker_read_time(text_of(state, "StartedAt"));
    out->state = read_state(status);
    out->exit_code = read_exit_code(state);
    out->box.state = box_state(out->state);
    out->box.pid = read_pid(state);
    read_networks(json_object_get(json_object_get(root, "NetworkSettings"), "Networks"), &out->box.address);
    return DOCKER_OK;
}

docker_read_t docker_read_container(str_t json, const char *label, uint32_t idle_ms, docker_container_t *out)
{
    memset(out, 0, sizeof(*out));
    json_t *root = load(json);
    docker_read_t result = read_container(root, label, idle_ms, out);
    json_decref(root);
    return result;
}

void docker_container_fini(docker_container_t *container)
{
    free(container->init);
    container->init = NULL;
}

/* ---- others ---- */

bool docker_read_list(str_t json, void (*each)(void *owner, const char *id), void *owner)
{
    char id[DOCKER_ID_MAX + 1];
    size_t i;
    json_t *item, *root = load(json);
    bool whole = json_is_array(root);
    json_array_foreach(root, i, item)
    {
        whole = whole && take_id(text_of(item, "Id"), id);
    }
    if (whole) {
        json_array_foreach(root, i, item)
        {
            if (take_id(text_of(item, "Id"), id))
                each(owner, id);
        }
    }
    json_decref(root);
    return whole;
}

/* Actions inside a container, or questions about it, that leave its state. */
static bool is_passing(str_t action)
{
    static const char *const begins[] = {"exec",   "health_status", "top",    "attach", "detach", "resize",
                                         "export", "archive-path",  "commit", "copy",   "sync",   "mount"};
    for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
        if (str_starts(action, str_from(begins[i])))
            return true;
    return false;
}

bool docker_read_event(str_t line, const char *label, docker_event_t *out)
{
    memset(out, 0, sizeof(*out));
    json_t *root = load(line);
    const json_t *actor = json_object_get(root, "Actor");
    const json_t *attributes = json_object_get(actor, "Attributes");
    bool is_event = json_is_object(root);
    str_t type = text_of(root, "Type"), action = text_of(root, "Action");
    if (str_eq(type, STR("network")))
        (void)take_id(text_of(attributes, "container"), out->container);
    else if (str_eq(type, STR("container")))
        (void)take_id(text_of(actor, "ID"), out->container);
    out->labelled = docker_label(attributes, label, "id").p != NULL;
    out->passing = is_passing(action);
    json_decref(root);
    return is_event;
}

bool docker_read_exec(str_t json, char out[DOCKER_EXEC_MAX + 1])
{
    json_t *root = load(json);
    str_t id = text_of(root, "Id");
    bool valid = id.n > 0 && id.n <= DOCKER_EXEC_MAX;
    for (size_t i = 0; valid && i < id.n; i++)
        valid = str_hex_value(id.p[i]) >= 0;
    out[0] = '\0';
    if (valid) {
        memcpy(out, id.p, id.n);
        out[id.n] = '\0';
    }
    json_decref(root);
    return valid;
}

void docker_read_message(str_t json, char out[DOCKER_MESSAGE_MAX + 1])
{
    json_t *root = load(json);
    str_t message = text_of(root, "message");
    size_t n = message.n < DOCKER_MESSAGE_MAX ? message.n : DOCKER_MESSAGE_MAX;
    for (size_t i = 0; i < n; i++)
        out[i] = message.p[i] >= ' ' && message.p[i] <= '~' ? message.p[i] : '?';
    out[n] = '\0';
    json_decref(root);
}
