/* Rows of the key table for boxes: fixed addresses, and commands of this machine. */
#include "conf_rows.h"

static const conf_key_t box_rows[] = {
    {.name = "id",
     .type = CONF_BOX_ID,
     .secrecy = CONF_OPEN,
     .required = true,
     .doc = "The box's name in host names.",
     .example = "demo-box",
     AT(conf_box_t, id)},
    {.name = "address",
     .type = CONF_BOX_ADDRESS,
     .required = true,
     .doc = "Address of the box. With a port, every preview of the box goes to that port; without one, each "
            "goes to its own.",
     .example = "127.0.0.1",
     AT(conf_box_t, address)},
    {.name = "ports",
     .type = CONF_PORTS,
     .max = 16,
     .derived = "all",
     .doc = "The only ports that may have previews. Required beside an API host, whose clients choose ports, "
            "for a box at an address of this machine without a port.",
     .example = "[3000]",
     .offset = offsetof(conf_box_t, ports),
     .width = sizeof(((conf_box_t *)0)->ports),
     .count_offset = offsetof(conf_box_t, port_count),
     .element_size = sizeof(uint16_t)},
};
const conf_table_t conf_box_keys = TABLE(box_rows);

static const char *const access_modes[] = {
    [CONF_ACCESS_BEARER] = "bearer", [CONF_ACCESS_BASIC] = "basic", [CONF_ACCESS_PUBLIC] = "public", NULL};

static const conf_key_t preview_rows[] = {
    {.name = "port",
     .type = CONF_UINT,
     .min = 1,
     .max = 65535,
     .required = true,
     .doc = "One of the box's `ports`.",
     .example = "3000",
     AT(conf_preview_t, port)},
    {.name = "access",
     .type = CONF_CHOICE,
     .fallback = "bearer",
     .choices = access_modes,
     .doc = "Who may see a new preview: holders of a token (`bearer`), of a user and password (`basic`), or "
            "everyone (`public`).",
     AT(conf_preview_t, access)},
};
const conf_table_t conf_preview_keys = TABLE(preview_rows);

#define PROCESS_LIST(field, counter)                                                                         \
    .offset = offsetof(conf_process_t, field), .width = sizeof(((conf_process_t *)0)->field),                \
    .count_offset = offsetof(conf_process_t, counter), .element_size = sizeof(*((conf_process_t *)0)->field)

static const conf_key_t process_rows[] = {
    {.name = "id",
     .type = CONF_BOX_ID,
     .secrecy = CONF_OPEN,
     .required = true,
     .doc = "The box's name in host names.",
     .example = "web",
     AT(conf_process_t, id)},
    {.name = "command",
     .type = CONF_COMMAND,
     .secrecy = CONF_SECRET,
     .min = 1,
     .max = 64,
     .required = true,
     .doc = "The program and its arguments as a list, or one string for `/bin/sh -c`.",
     .example = "[npm, run, dev]",
     PROCESS_LIST(command, command_count)},
    {.name = "directory",
     .type = CONF_PATH,
     .secrecy = CONF_OPEN,
     .derived = "the directory of the configuration file",
     .doc = "Working directory of the box.",
     .example = "/srv/web",
     AT(conf_process_t, directory)},
    {.name = "environment",
     .type = CONF_ENVIRONMENT,
     .secrecy = CONF_SECRET,
     .max = 256,
     .derived = "none",
     .doc = "Environment variables in addition to PATH, HOME, LANG, PORT (the first of `ports`) and "
            "__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS (`.` and `preview_domain`), by which Vite accepts the "
            "hosts of previews; one of these names replaces the edge's value. The box gets nothing from the "
            "edge's own environment.",
     .example = "[NODE_ENV=development]",
     PROCESS_LIST(environment, environment_count)},
    {.name = "ports",
     .type = CONF_PORTS,
     .min = 1,
     .max = 16,
     .required = true,
     .doc = "Ports on which the box listens, on 127.0.0.1, ::1 or all addresses. No other port can have a "
            "preview.",
     .example = "[3000]",
     PROCESS_LIST(ports, port_count)},
    {.name = "previews",
     .type = CONF_MAPS,
     .max = CONF_PROCESS_PREVIEWS_MAX,
     .derived = "none",
     .doc =
         "Previews that the edge makes at its start and at a reload, if they do not exist. It writes their "
         "secrets to `previews/<id>-<port>` in `state_dir`.",
     .example = "[{port: 3000, access: bearer}]",
     PROCESS_LIST(previews, preview_count),
     .element = &conf_preview_keys},
    {.name = "start_timeout",
     .type = CONF_DURATION,
     .max = CONF_START_MAX_MS,
     .fallback = "0ms",
     .doc = "Maximum time from the start until a port listens. Requests and the waiting page wait for it "
            "while the process lives. 0 is `wake.timeout`.",
     AT(conf_process_t, start_timeout)},
    {.name = "idle",
     .type = CONF_DURATION,
     .max = 365 * (uint64_t)DAY / 10,
     .fallback = "30m",
     .doc = "The edge stops or freezes the box after this time without activity. 0 is never.",
     AT(conf_process_t, idle)},
    {.name = "idle_action",
     .type = CONF_IDLE_ACTION,
     .fallback = "stop",
     .doc = "`stop` ends the box and frees its memory; the next request starts it anew. `freeze` halts it "
            "and keeps its memory.",
     AT(conf_process_t, idle_action)},
    {.name = "keep_alive",
     .type = CONF_BOOL,
     .fallback = "false",
     .doc = "Whether the edge never stops or freezes the box.",
     AT(conf_process_t, keep_alive)},
    {.name = "user",
     .type = CONF_USER,
     .secrecy = CONF_OPEN,
     .derived = "`user` of the edge",
     .doc = "User that the box runs as if the edge was started as root. root is refused; the edge's own user "
            "has more rights than a box should have.",
     .example = "www-data",
     AT(conf_process_t, user)},
};
const conf_table_t conf_process_keys = TABLE(process_rows);
