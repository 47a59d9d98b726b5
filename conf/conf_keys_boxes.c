/* Rows of the key table for boxes: fixed addresses, and commands of this machine. */
#include "conf_rows.h"

static const conf_key_t box_rows[] = {
    {.name = "id",
     .type = CONF_BOX_ID,
     .required = true,
     .doc = "The box's name in host names.",
     .example = "demo-box",
     AT(conf_box_t, id)},
    {.name = "address",
     .type = CONF_BOX_ADDRESS,
     .required = true,
     .doc =
         "Where the box is. With a port, every preview of the box goes to that port; without, each goes to "
         "its own.",
     .example = "127.0.0.1",
     AT(conf_box_t, address)},
    {.name = "ports",
     .type = CONF_PORTS,
     .max = 16,
     .derived = "all",
     .doc =
         "The only ports that may have previews. A box at any address of this machine without a port needs "
         "them beside an API host, whose clients choose ports.",
     .example = "[3000]",
     .offset = offsetof(conf_box_t, ports),
     .width = sizeof(((conf_box_t *)0)->ports),
     .count_offset = offsetof(conf_box_t, port_count),
     .element_size = sizeof(uint16_t)},
};
const conf_table_t conf_box_keys = TABLE(box_rows);

#define PROCESS_LIST(field, counter)                                                                         \
    .offset = offsetof(conf_process_t, field), .width = sizeof(((conf_process_t *)0)->field),                \
    .count_offset = offsetof(conf_process_t, counter), .element_size = sizeof(*((conf_process_t *)0)->field)

static const conf_key_t process_rows[] = {
    {.name = "id",
     .type = CONF_BOX_ID,
     .required = true,
     .doc = "The box's name in host names.",
     .example = "web",
     AT(conf_process_t, id)},
    {.name = "command",
     .type = CONF_COMMAND,
     .min = 1,
     .max = 64,
     .required = true,
     .doc = "The program and its arguments as a list, or one string for `/bin/sh -c`.",
     .example = "[npm, run, dev]",
     PROCESS_LIST(command, command_count)},
    {.name = "directory",
     .type = CONF_PATH,
     .derived = "the directory of the configuration file",
     .doc = "Where it runs.",
     .example = "/srv/web",
     AT(conf_process_t, directory)},
    {.name = "environment",
     .type = CONF_ENVIRONMENT,
     .max = 256,
     .derived = "none",
     .doc = "Variables beside PATH, HOME, LANG and PORT (the first of `ports`); nothing of the edge's own "
            "environment is passed on.",
     .example = "[NODE_ENV=development]",
     PROCESS_LIST(environment, environment_count)},
    {.name = "ports",
     .type = CONF_PORTS,
     .min = 1,
     .max = 16,
     .required = true,
     .doc = "The ports on which it listens, on 127.0.0.1, ::1 or all addresses; no other port can have a "
            "preview.",
     .example = "[3000]",
     PROCESS_LIST(ports, port_count)},
    {.name = "start_timeout",
     .type = CONF_DURATION,
     .max = CONF_START_MAX_MS,
     .fallback = "0ms",
     .doc = "How long a port may take to listen after the start: requests and the waiting page wait for it "
            "while the process lives; 0 is `wake.timeout`.",
     AT(conf_process_t, start_timeout)},
    {.name = "idle",
     .type = CONF_DURATION,
     .max = 365 * (uint64_t)DAY / 10,
     .fallback = "30m",
     .doc = "Without activity for so long it is stopped or frozen; 0 is never.",
     AT(conf_process_t, idle)},
    {.name = "idle_action",
     .type = CONF_IDLE_ACTION,
     .fallback = "stop",
     .doc = "`stop` ends it (its memory is free, and it starts anew), `freeze` halts it where it is.",
     AT(conf_process_t, idle_action)},
    {.name = "keep_alive",
     .type = CONF_BOOL,
     .fallback = "false",
     .doc = "Whether it is never stopped or frozen by the edge.",
     AT(conf_process_t, keep_alive)},
    {.name = "user",
     .type = CONF_USER,
     .derived = "`user` of the edge",
     .doc = "Whose rights it has where the edge was started as root; root's are refused, and the edge's own "
            "are more "
            "than a box should have.",
     .example = "www-data",
     AT(conf_process_t, user)},
};
const conf_table_t conf_process_keys = TABLE(process_rows);
