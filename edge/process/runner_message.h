/*
 * Messages between the controller and the runner over their channel (channel.h). Each question of
 * the controller has a number, which the runner's answer repeats. The runner also sends the states
 * of boxes unasked. It sends a changed state before the answer to the question that changed the
 * box.
 */
#ifndef BOXEDGE_RUNNER_MESSAGE_H
#define BOXEDGE_RUNNER_MESSAGE_H

#include <sys/types.h>

#include "box_id.h"
#include "str.h"

typedef enum runner_message {
    /* To the runner. value: the number of the question; bytes: the id of the box. */
    RUNNER_START =
        100,     /* start or thaw it. Answered once it runs and one of its ports listens, or after a second */
    RUNNER_STOP, /* answered once all of its processes are gone */
    RUNNER_FREEZE, /* no-op unless it runs; answered immediately */
    RUNNER_LOG,    /* bytes: the first position (8 bytes, bytes.h), then the id */
    RUNNER_LOOK,   /* answered by RUNNER_BOX alone; value 0 */
    RUNNER_LIST,   /* no id; value 0: RUNNER_BOX for all, then RUNNER_LISTED */
    RUNNER_LINE,   /* the sentence of the answer is the line that best explains the box's state; may be "" */
    /* From the runner. */
    RUNNER_BOX,    /* runner_status_write */
    RUNNER_LISTED, /* value: the number of boxes */
    RUNNER_DONE,   /* the answer. value: the number; bytes: runner_result_t (1 byte), a sentence. Only the
                      operator may read the text after a line end (output, paths) */
    RUNNER_TEXT,   /* the answer to RUNNER_LOG. bytes: position of the end; descriptor [0]: a memory file */
} runner_message_t;

typedef enum runner_result {
    RUNNER_OK = 0,
    RUNNER_FAILED,  /* the sentence gives the reason */
    RUNNER_UNKNOWN, /* no such box in the runner's configuration */
    RUNNER_BUSY,    /* too many open questions about that box */
    RUNNER_LOST,    /* (never sent) the runner is absent, or died before it answered */
} runner_result_t;

typedef enum runner_state {
    RUNNER_STOPPED = 0,
    RUNNER_WAITING,  /* for its ports to become free */
    RUNNER_STARTING, /* the command does not run yet */
    RUNNER_RUNNING,
    RUNNER_FROZEN,
    RUNNER_STOPPING,
} runner_state_t;

/* A box's state as the runner reports it. */
typedef struct runner_status {
    char id[BOX_ID_MAX + 1];
    runner_state_t state;
    uint64_t life;  /* of its process: each started process has a different number */
    uint32_t pid;   /* of its command; 0: none */
    bool loopback6; /* it listens on ::1 and not on 127.0.0.1 */
} runner_status_t;

#define RUNNER_STATUS_BYTES (18 + BOX_ID_MAX)
#define RUNNER_SENTENCE_MAX 300
/* Maximum length of a line of a box's output in a sentence, without its NUL. */
#define RUNNER_LINE_MAX 159
/* Precedes output of the box (not a path) after the line end of a sentence. */
#define RUNNER_LAST_LINE      "Its last line: "
#define RUNNER_LOG_HEAD_BYTES 8

/* Returns the length. */
size_t runner_status_write(const runner_status_t *status, char out[RUNNER_STATUS_BYTES]);
MUST_USE bool runner_status_read(str_t bytes, runner_status_t *out);

#endif
