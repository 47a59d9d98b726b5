/*
 * The part that knows where boxes run and can wake them (docs/internals/wake.md, "States of a box"):
 * `process`, `docker` and `http`. It lives in the controller, on its loop, and never blocks it. (Boxes of
 * `static` always run, and only the configuration describes them; controller_boxes.c.)
 *
 * A provider reports boxes through its handlers (boxes.c), also unasked. It decides nothing about waiters,
 * allowed addresses or generations. State comes from it and never from a connect: a frozen box still accepts
 * TCP.
 */
#ifndef BOXEDGE_PROVIDER_H
#define BOXEDGE_PROVIDER_H

#include "conf.h"
#include "list.h"
#include "store.h"
#include "str.h"

typedef struct provider provider_t;

/* A provider's report of one box. */
typedef struct provider_box {
    char id[BOX_ID_MAX + 1];
    box_state_t state;     /* BOX_RUNNING, BOX_PAUSED (frozen or stopped: can be resumed), BOX_GONE */
    uint64_t requested_us; /* wall clock of the question that this answers; 0: unasked, and current */
    bool renewed; /* it stopped, restarted or moved since the last report, perhaps unseen: older connections
                     are worthless */
    struct in6_addr address; /* IPv4 as mapped IPv6; all zero: none */
    uint16_t fixed_port;     /* 0: the preview's port */
    bool keep_alive;         /* the edge never pauses it */
    bool ephemeral;          /* takes no previews */
    uint64_t expires_at;     /* unix seconds, from then on it is gone; 0: never */
    uint32_t idle_ms;        /* time without activity until the edge pauses it; 0: never */
    uint32_t start_ms;       /* maximum time from its start until its ports listen; 0: wake.timeout */
    uint32_t pid;            /* a process in its network namespace, to read its listening ports; 0: unknown */
    uint16_t ports[STORE_BOX_PORTS_MAX]; /* the only ports that previews may expose */
    uint8_t port_count;                  /* 0: all ports */
} provider_box_t;

/* The result of a resume or a question. */
typedef enum provider_result {
    PROVIDER_OK,          /* the box runs, and `box` has the report; or a question is answered */
    PROVIDER_GONE,        /* no such box; after a resume, `box` has a report */
    PROVIDER_FAILED,      /* not resumable, or no log to read: the sentence has the reason */
    PROVIDER_UNAVAILABLE, /* the provider itself is unreachable */
} provider_result_t;

/* The answer to a question; valid during `answered`. */
typedef struct provider_words {
    provider_result_t result;
    const char *sentence; /* for the operator; not NULL unless PROVIDER_OK */
    str_t text;           /* raw: a line, perhaps empty, or a log of at most BOX_LOG_BYTES */
    uint64_t end;         /* of a log: the next position, below 2^53 */
} provider_words_t;

/* A question about a box's log; embedded in the struct of the caller. */
typedef struct provider_question provider_question_t;
struct provider_question {
    /* Called once, unless forgotten. Must not ask this question again. */
    void (*answered)(provider_question_t *question, const provider_words_t *words);
    uint64_t from;        /* of a log: the first position is after this; 0: its last lines */
    uint64_t lines;       /* of a log from 0: minimum number of lines, as far as they fit */
    provider_t *provider; /* by the provider that has the question; NULL: none */
    void *of;             /* by the provider: the box */
    bool wants_line;      /* by the provider */
    list_t link;          /* by the provider */
};

typedef struct provider_handlers {
    /* The current state of `box`: after any change, and as the answer to `look`. A repeated report is
     * harmless. */
    void (*box)(void *owner, provider_t *provider, const provider_box_t *box);
    /* A full listing: every box is reported between sync_began and sync_ended; the provider's others are
     * gone. */
    void (*sync_began)(void *owner, provider_t *provider);
    void (*sync_ended)(void *owner, provider_t *provider);
    /* The one answer to a `resume`. `sentence` (may be NULL with OK) is the error, for people, without
     * secrets. */
    void (*resumed)(void *owner, provider_t *provider, str_t id, provider_result_t result,
                    const char *sentence);
} provider_handlers_t;

/* The first member of each provider. `resume`, `pause`, `look`, `line` and `log` call no handler from within:
 * they answer later, from the loop. */
struct provider {
    box_provider_t kind;
    const provider_handlers_t *handlers;
    void *owner;

    /* Makes the box run; a running box stays as it is. `resumed` answers once, within a time that the
     * provider bounds. Call it for a box only after the previous answer. */
    void (*resume)(provider_t *provider, str_t id);
    /* The box was idle for its idle_ms. `box` reports the result. */
    void (*pause)(provider_t *provider, str_t id);
    /* Looks at the box again. `box` reports it, unless the provider is unreachable. */
    void (*look)(provider_t *provider, str_t id);
    /* These boxes ('\n' after each) were active in the last second. NULL: the provider does not need it. */
    void (*activity)(provider_t *provider, str_t ids);
    /*
     * Questions about the output of the box, stdout and stderr in the order of writing; NULL: the provider
     * keeps no logs (store_keeps_log). `line`: the line of its last run that best explains its state
     * (last_words.h), without lines of an access log. `log`: the end of the log. False if unavailable now, or
     * if too many wait. Else answered within a time that the provider bounds, at the latest when it is freed.
     */
    bool (*line)(provider_t *provider, str_t id, provider_question_t *question);
    bool (*log)(provider_t *provider, str_t id, provider_question_t *question);
    /* Drops a question without an answer; no-op if no provider has it. */
    void (*forget)(provider_t *provider, provider_question_t *question);
    /* Applies a new configuration, valid until the next. */
    void (*set_conf)(provider_t *provider, const conf_t *conf);
    void (*free)(provider_t *provider);
};

/* Takes `question` off the provider. */
static inline void provider_question_end(provider_question_t *question)
{
    list_unlink(&question->link);
    question->provider = NULL;
}

#endif
