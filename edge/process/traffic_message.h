/*
 * Questions of the controller to workers about their requests (PROCESS_TRAFFIC_ASK), and the answers
 * (PROCESS_TRAFFIC), as bytes. `value` of each is the number of the question. An answer is any number of
 * messages with rows, then one message with the end. No text has a secret: paths are those of the access log.
 */
#ifndef BOXEDGE_TRAFFIC_MESSAGE_H
#define BOXEDGE_TRAFFIC_MESSAGE_H

#include "box_id.h"
#include "conf.h"
#include "ipc.h"
#include "str.h"

/* Maximum rows of an answer to an operator. */
#define TRAFFIC_ROWS_MAX 1000
/* Maximum names that a worker reports of each way to count. */
#define TRAFFIC_NAMES_MAX 256
/* Maximum bytes of texts. Writers cut longer ones, and write '?' for bytes that a terminal may not show. */
#define TRAFFIC_ID_MAX    36
#define TRAFFIC_WORD_MAX  15
#define TRAFFIC_PATH_MAX  255
#define TRAFFIC_PLACE_MAX 63

typedef enum traffic_op {
    TRAFFIC_LIST = 1, /* the requests in flight, the oldest first */
    TRAFFIC_KILL,     /* end the requests of an id */
    TRAFFIC_TOP,      /* who makes the requests of the last seconds */
    TRAFFIC_RECENT,   /* the latest access lines, the newest first */
} traffic_op_t;

/* By what TRAFFIC_TOP counts. */
typedef enum traffic_by {
    TRAFFIC_BY_BOX,
    TRAFFIC_BY_PREVIEW,
    TRAFFIC_BY_KEY,
    TRAFFIC_BY_UPSTREAM,
} traffic_by_t;
#define TRAFFIC_BYS 4

typedef struct traffic_question {
    traffic_op_t op;
    uint32_t limit;                      /* TRAFFIC_LIST, TRAFFIC_RECENT: maximum rows, at most
                                            TRAFFIC_ROWS_MAX */
    uint64_t older_than_us;              /* TRAFFIC_LIST: only requests of at least this age */
    char box[BOX_ID_MAX + 1];            /* TRAFFIC_LIST: only those of this box; "": all */
    char state[TRAFFIC_WORD_MAX + 1];    /* TRAFFIC_LIST: only those in this state; "": all */
    traffic_by_t by;                     /* TRAFFIC_TOP */
    char request_id[TRAFFIC_ID_MAX + 1]; /* TRAFFIC_KILL */
    char find[TRAFFIC_PATH_MAX + 1];     /* TRAFFIC_RECENT: only lines with it (recent_lines.h); "": all */
} traffic_question_t;

#define TRAFFIC_QUESTION_BYTES                                                                               \
    (2 + 8 + 8 + 4 * 1 + BOX_ID_MAX + TRAFFIC_WORD_MAX + TRAFFIC_ID_MAX + TRAFFIC_PATH_MAX)

/* Returns the length. The texts fit (asserted). */
size_t traffic_question_write(const traffic_question_t *question, char out[TRAFFIC_QUESTION_BYTES]);
MUST_USE bool traffic_question_read(str_t bytes, traffic_question_t *out);

/* A request in flight. Empty texts do not apply. A reader's slices are of the message. */
typedef struct traffic_request {
    str_t id;
    str_t state;  /* the step or the source that it waits for, or its phase */
    str_t kind;   /* as in the access log */
    str_t http;   /* "1.1", "2" */
    str_t client; /* its address */
    str_t method;
    str_t host;
    str_t path;
    str_t box;
    str_t key; /* the API key's name */
    str_t upstream;
    str_t origin;  /* address and port */
    uint16_t port; /* of the preview; 0: none */
    uint64_t age_us;
    uint64_t request_bytes;
    uint64_t response_bytes;
} traffic_request_t;

/* Maximum bytes of a row. */
#define TRAFFIC_REQUEST_BYTES                                                                                \
    (12 + TRAFFIC_ID_MAX + 4 * TRAFFIC_WORD_MAX + 5 * TRAFFIC_PLACE_MAX + 2 * TRAFFIC_PATH_MAX + 2 + 3 * 8)

/* Writes a row. Returns its length. */
size_t traffic_request_write(const traffic_request_t *request, char out[TRAFFIC_REQUEST_BYTES]);
/* Takes a row off `*bytes`. False if it is malformed. */
MUST_USE bool traffic_request_read(str_t *bytes, traffic_request_t *out);

/* Buckets of durations: two for each power of two, from below 768 us to 25 s and more. */
#define TRAFFIC_LATENCIES 32

/* Figures of a time. */
typedef struct traffic_figures {
    uint64_t requests;
    uint64_t errors;     /* 5xx, and responses that were cut */
    uint64_t own_errors; /* answers of the edge itself with 400 or more */
    uint64_t request_bytes;
    uint64_t response_bytes;
    uint64_t latency_us; /* the sum of the durations, of all but tunnels */
    uint32_t latencies[TRAFFIC_LATENCIES];
} traffic_figures_t;

unsigned traffic_latency_bucket(uint64_t us);
/* How many requests have a duration. */
uint64_t traffic_timed(const traffic_figures_t *figures);
/* The duration within which `percent` of these are, within a bucket by a straight line; 0 without any. */
uint64_t traffic_percentile(const traffic_figures_t *figures, unsigned percent);

/* The figures of a name. */
typedef struct traffic_row {
    str_t name;         /* "": all requests of the worker */
    bool approximate;   /* the figures may lack a part of the time */
    bool full;          /* the worker has no room for more names: it may have requests of others */
    uint64_t window_us; /* 0: the worker has only begun to count */
    uint64_t open;      /* requests now */
    traffic_figures_t figures;
} traffic_row_t;

#define TRAFFIC_ROW_BYTES (1 + TRAFFIC_PLACE_MAX + 1 + 8 * 8 + 1 + TRAFFIC_LATENCIES * 5)

size_t traffic_row_write(const traffic_row_t *row, char out[TRAFFIC_ROW_BYTES]);
/* Takes a row off `*bytes`. False if it is malformed. */
MUST_USE bool traffic_row_read(str_t *bytes, traffic_row_t *out);

/* How a request was ended. */
typedef enum traffic_ending {
    TRAFFIC_ANSWERED, /* with 503 */
    TRAFFIC_RESET,    /* its response had begun */
    TRAFFIC_CLOSED,   /* a tunnel, with a Close frame */
} traffic_ending_t;
#define TRAFFIC_ENDINGS 3

typedef struct traffic_end {
    uint64_t open;                   /* TRAFFIC_LIST: all requests of the worker; TRAFFIC_RECENT: all lines */
    uint64_t matched;                /* those that were asked for, listed or not */
    uint64_t ended[TRAFFIC_ENDINGS]; /* TRAFFIC_KILL */
} traffic_end_t;
#define TRAFFIC_END_BYTES (8 * (2 + TRAFFIC_ENDINGS))

/* The first byte of a message of an answer. */
typedef enum traffic_part {
    TRAFFIC_PART_REQUESTS = 1, /* traffic_request_t */
    TRAFFIC_PART_END,
    TRAFFIC_PART_ROWS,  /* traffic_row_t */
    TRAFFIC_PART_LINES, /* traffic_line_write */
} traffic_part_t;

/* Maximum bytes of an access line in an answer. */
#define TRAFFIC_LINE_MAX   4096
#define TRAFFIC_LINE_BYTES (2 + TRAFFIC_LINE_MAX)

/* Writes a line of at most TRAFFIC_LINE_MAX bytes (asserted). Returns the length. */
size_t traffic_line_write(str_t line, char out[TRAFFIC_LINE_BYTES]);
/* Takes a line off `*bytes`, as a slice of it. False if it is malformed. */
MUST_USE bool traffic_line_read(str_t *bytes, str_t *out);

size_t traffic_end_write(const traffic_end_t *end, char out[TRAFFIC_END_BYTES]);
MUST_USE bool traffic_end_read(str_t bytes, traffic_end_t *out);

#endif
