/*
 * Shared by the commands that talk to a running edge: options, the search for the admin socket, error
 * messages.
 */
#ifndef BOXEDGE_CLI_H
#define BOXEDGE_CLI_H

#include <stdio.h>

#include <jansson.h>

#include "cli_sockets.h"
#include "str.h"

/* Exit statuses of every command. */
#define CLI_OK     0
#define CLI_FAILED 1 /* the edge is not running, or refused the request */
#define CLI_USAGE  2 /* the command line is wrong */
#define CLI_PARTLY 3 /* done, and a part is missing */

#define CLI_ARGS_MAX 4
/* Maximum number of --allow-origin. */
#define CLI_ORIGINS_MAX 16

typedef struct cli {
    const char *socket;           /* --socket */
    const char *conf;             /* -c, --config */
    const char *box;              /* --box */
    const char *host_header;      /* --host-header */
    const char *protocol;         /* --protocol */
    const char *background_wakes; /* --background-wakes */
    const char *expires;          /* --expires */
    const char *label;            /* --label */
    const char *alias;            /* --alias */
    const char *path;             /* --path */
    const char *lines;            /* -n, --lines */
    const char *plan;             /* --plan */
    const char *client;           /* --client */
    const char *output;           /* -o, --output */
    const char *state;            /* --state */
    const char *older_than;       /* --older-than */
    const char *limit;            /* -n, --limit */
    const char *by;               /* --by */
    const char *sort;             /* --sort */
    const char
        *origins[CLI_ORIGINS_MAX + 1]; /* --allow-origin; with room for the one that exceeds the limit */
    size_t origin_count;
    bool bearer;                    /* --bearer */
    bool basic;                     /* --basic */
    bool open;                      /* --public */
    bool no_bearer;                 /* --no-bearer */
    bool no_basic;                  /* --no-basic */
    bool kill_tunnels;              /* --kill-tunnels */
    bool now;                       /* --now */
    bool ready;                     /* --ready */
    bool open_page;                 /* --open */
    bool wait;                      /* --wait */
    bool follow;                    /* -f, --follow */
    bool from_stdin;                /* --stdin */
    bool json;                      /* --json */
    bool once;                      /* --once */
    bool read_only;                 /* --read-only */
    bool allow_websocket;           /* --allow-websocket */
    bool help;                      /* -h, --help */
    const char *args[CLI_ARGS_MAX]; /* arguments in order */
    size_t arg_count;
} cli_t;

/* Options of a command besides -c, --config, --socket and --help. CLI_CREATE: those of a new preview;
 * CLI_KILL: --kill-tunnels; CLI_LOGS: those of a log; CLI_KEY: those of a new API key; CLI_NOW: --now;
 * CLI_OFFLINE: no --socket, since the command asks no edge; CLI_STATUS: --ready and --open; CLI_CLIENT:
 * --client; CLI_OUTPUT: --output; CLI_WAIT: --wait; CLI_REQUESTS: --state and --older-than; CLI_LIMIT:
 * --limit; CLI_TOP: --by, --sort and --once; CLI_LINK: those of a new link. */
typedef enum cli_takes {
    CLI_JSON = 1,
    CLI_BOX = 2,
    CLI_CREATE = 4,
    CLI_KILL = 8,
    CLI_LOGS = 16,
    CLI_KEY = 32,
    CLI_NOW = 64,
    CLI_OFFLINE = 128,
    CLI_STATUS = 256,
    CLI_CLIENT = 512,
    CLI_OUTPUT = 1024,
    CLI_WAIT = 2048,
    CLI_REQUESTS = 4096,
    CLI_LIMIT = 8192,
    CLI_TOP = 16384,
    CLI_LINK = 32768
} cli_takes_t;

/* Parses argv[1..] ("--name value" and "--name=value", "--" ends options). False after an error on stderr. */
MUST_USE bool cli_parse(int argc, char **argv, unsigned takes, cli_t *cli);

/* The help text of the common options. */
extern const char cli_common_help[];

/*
 * Sends a request to the edge that the options name (cli_sockets.h). For a status of 2xx sets *out (owned by
 * the caller) and returns CLI_OK; else sets it to NULL, prints the error on stderr and returns CLI_FAILED.
 */
MUST_USE int cli_request(const cli_t *cli, const char *method, const char *target, const json_t *body,
                         json_t **out);

/*
 * Like cli_request for GET, but the answer is plain text: *out is to be freed. A refusal's text goes to
 * stderr after `refused`.
 */
MUST_USE int cli_request_text(const cli_t *cli, const char *target, const char *refused, char **out);

/* Like cli_request for GET, but to an edge whose sockets are known, and prints nothing without an answer. */
MUST_USE bool cli_peek(const cli_sockets_t *sockets, const char *target, json_t **out);

/* Asks with GET, and prints nothing. Returns the body of an answer with status 200, to be freed; else NULL,
 * with the reason in `why`. */
char *cli_fetch(const cli_t *cli, const char *target, char *why, size_t why_len);

/*
 * Like cli_request, but releases `body` and prints the answer: with --json on one line, else with `print`,
 * and then its note, if any, on stderr.
 */
MUST_USE int cli_show(const cli_t *cli, const char *method, const char *target, json_t *body,
                      void (*print)(const json_t *answer));

/* As cli_show, of an answer that may lack a part: CLI_PARTLY then (cli_print_note). */
int cli_show_partly(const cli_t *cli, const char *method, const char *target,
                    void (*print)(const json_t *answer));

/* Prints `json` on one line. */
void cli_print_json(const json_t *json);
/* The note of an answer that lacks a part goes to stderr, behind all output. Returns CLI_PARTLY then, and
 * CLI_OK without one. */
int cli_print_note(const json_t *answer);

/* The text `name` of the object, valid as long as the object; "-" without one. */
const char *cli_text(const json_t *object, const char *name);
/* The number `name` of the object; 0 without one. */
long long cli_number(const json_t *object, const char *name);
/* The time `name` of the object, in Unix seconds, as "2026-01-31 12:00" in UTC; "-" without one. */
void cli_time(const json_t *object, const char *name, char out[32]);
/* The time until the object expires, in the form of cli_duration; "-" if it never does. */
void cli_left(const json_t *object, char out[32]);

/* "3d 4h", "4h 5m", "5m 6s" or "6s" for a number of seconds. */
void cli_duration(json_int_t seconds, char out[32]);
/* "12 B", "3.4 KiB", "5.6 MiB", "7.8 GiB". */
void cli_size(json_int_t bytes, char out[32]);

#endif
