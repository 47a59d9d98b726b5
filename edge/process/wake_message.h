/*
 * Messages between workers and the controller about a wake (PROCESS_WAKE and its answers), as
 * bytes.
 */
#ifndef BOXEDGE_WAKE_MESSAGE_H
#define BOXEDGE_WAKE_MESSAGE_H

#include "str.h"

typedef enum wake_stage {
    WAKE_RESUMING = 1, /* the provider has the request */
    WAKE_STARTING,     /* the box runs; the port does not listen yet */
    WAKE_LISTENING,    /* the port listens */
} wake_stage_t;

/* `value` of PROCESS_WAKE_STAGE: the stage, and the duration of the wake so far. */
static inline uint64_t wake_stage_pack(wake_stage_t stage, uint64_t elapsed_ms)
{
    return elapsed_ms << 8 | (uint64_t)stage;
}
static inline wake_stage_t wake_stage_of(uint64_t value)
{
    return (wake_stage_t)(value & 0xff);
}
static inline uint64_t wake_stage_elapsed_ms(uint64_t value)
{
    return value >> 8;
}

typedef enum wake_result {
    WAKE_OK = 1,      /* the port listens, and the store has that */
    WAKE_GONE,        /* the box does not exist (any more) */
    WAKE_FAILED,      /* the box was not resumed, or the port never listened */
    WAKE_UNAVAILABLE, /* the provider cannot be reached */
    WAKE_BUSY,        /* too many wakes at a time */
    WAKE_ASLEEP,      /* no wake is under way; the answer to WAKE_WISH_WATCH only */
    WAKE_REFUSED,     /* the box's address is not in origins.allow, or the port is not declared */
} wake_result_t;

typedef enum wake_wish {
    WAKE_WISH_WAKE = 0,
    WAKE_WISH_WATCH, /* report the progress of a wake, if one is under way */
} wake_wish_t;

/*
 * `value` of PROCESS_WAKE: the wish, and the arrival time of the newest request with it (loop_now,
 * the same clock in all processes). 0: no request, only bytes on an open connection.
 */
static inline uint64_t wake_wish_pack(wake_wish_t wish, uint64_t came_ms)
{
    return came_ms << 8 | (uint64_t)wish;
}
static inline wake_wish_t wake_wish_of(uint64_t value)
{
    return (value & 0xff) == WAKE_WISH_WATCH ? WAKE_WISH_WATCH : WAKE_WISH_WAKE;
}
static inline uint64_t wake_wish_came_ms(uint64_t value)
{
    return value >> 8;
}

#define WAKE_LABEL_MAX    63
#define WAKE_SENTENCE_MAX 300
/* In a sentence: precedes output of the box, for readers that access_reads_details admits. */
#define WAKE_SENTENCE_OUTPUT '\x1f'

/* The end of a wake. */
typedef struct wake_answer {
    char label[WAKE_LABEL_MAX + 1];       /* "<id>-<port>" */
    uint32_t resume_ms;                   /* from the first request until the box runs */
    uint32_t listen_ms;                   /* from then until the port listens */
    uint32_t retry_after_ms;              /* after a failure: how long the failure is remembered */
    char sentence[WAKE_SENTENCE_MAX + 1]; /* after a failure: an explanation for people */
} wake_answer_t;

#define WAKE_ANSWER_BYTES 512
/* Returns the length. In the sentence, control characters except WAKE_SENTENCE_OUTPUT become
 * spaces, and non-ASCII bytes become '?'. The text may come from an engine or a control plane. */
size_t wake_answer_write(const wake_answer_t *answer, char out[WAKE_ANSWER_BYTES]);
MUST_USE bool wake_answer_read(str_t bytes, wake_answer_t *out);

#endif
