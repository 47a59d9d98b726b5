/*
 * The part that knows where boxes run and can wake them (docs/design.md, "Waking"): `process`, `docker` and
 * `http`. It lives in the controller, on its loop, and never blocks it. (Boxes of `static` always run: the
 * configuration is all there is to know of them; controller_boxes.c.)
 *
 * A provider tells what it knows, unasked, through its handlers (boxes.c); it decides nothing: who waits,
 * what may be connected to and what a generation is are not its matters. State comes from it and never from a
 * connect: a frozen box still accepts TCP.
 */
#ifndef BOXEDGE_PROVIDER_H
#define BOXEDGE_PROVIDER_H

#include "conf.h"
#include "list.h"
#include "store.h"
#include "str.h"

typedef struct provider provider_t;

/* What a provider knows of one box now. */
typedef struct provider_box {
    char id[BOX_ID_MAX + 1];
    box_state_t state; /* BOX_RUNNING, BOX_PAUSED (frozen or stopped: it can be resumed), BOX_GONE */
    uint64_t asked_us; /* wall clock: when the provider was asked, whose answer this is; 0: unasked, it is so
                          now */
    bool renewed;      /* it stopped, restarted or moved since it was last told, or may have done so unseen:
                          connections made before are worth nothing */
    struct in6_addr address; /* where it runs; IPv4 as mapped IPv6; all zero where it has none now */
    uint16_t fixed_port;     /* 0: the preview's port */
    bool keep_alive;         /* the edge never pauses it */
    bool ephemeral;          /* takes no previews */
    uint64_t expires_at;     /* unix seconds; 0: never. From then on it is gone */
    uint32_t idle_ms;        /* to be paused after so long without activity; 0: not by the edge */
    uint32_t start_ms;       /* its ports may take so long to listen once it runs; 0: wake.timeout */
    uint32_t pid; /* a process in the box's network namespace, to see what listens there; 0: unknown */
    uint16_t ports[STORE_BOX_PORTS_MAX]; /* the only ports that may be exposed */
    uint8_t port_count;                  /* 0: all may be */
} provider_box_t;

/* How a resume ended, or a question. */
typedef enum provider_result {
    PROVIDER_OK,          /* the box runs, and `box` was told before; or there is an answer */
    PROVIDER_GONE,        /* there is no such box; after a resume `box` was told before */
    PROVIDER_FAILED,      /* it cannot be resumed, or has no log to read: the sentence says why */
    PROVIDER_UNAVAILABLE, /* the provider itself cannot be reached */
} provider_result_t;

/* The answer to a question; valid while `answered` runs. */
typedef struct provider_words {
    provider_result_t result;
    const char *sentence; /* for the operator, never NULL where it is not PROVIDER_OK */
    str_t text;           /* raw: a line, which may be empty, or a log, at most BOX_LOG_BYTES */
    uint64_t end;         /* of a log: the position after it, below 2^53 */
} provider_words_t;

/* What somebody asks about a box's log; embedded in what waits for the answer. */
typedef struct provider_question provider_question_t;
struct provider_question {
    /* Once, unless it was forgotten; not to be asked again from it. */
    void (*answered)(provider_question_t *question, const provider_words_t *words);
    uint64_t from;     /* of a log: what came after this position; 0: its last lines */
    uint64_t lines;    /* of a log from 0 on: how many at least, as far as they fit */
    provider_t *asked; /* by the provider: NULL while it is not asked */
    void *of;          /* by the provider: the box */
    bool wants_line;   /* by the provider */
    list_t link;       /* by the provider */
};

typedef struct provider_handlers {
    /* `box` is so now: whenever something changed, and as the answer to look. Told again without a change is
     * harmless. */
    void (*box)(void *owner, provider_t *provider, const provider_box_t *box);
    /* A full listing: between sync_began and sync_ended every box is told; the provider's boxes that were not
     * are gone. */
    void (*sync_began)(void *owner, provider_t *provider);
    void (*sync_ended)(void *owner, provider_t *provider);
    /* The one answer to a `resume`. `sentence` (may be NULL where OK) says what went wrong, for people,
     * without secrets. */
    void (*resumed)(void *owner, provider_t *provider, str_t id, provider_result_t result,
                    const char *sentence);
} provider_handlers_t;

/* Each provider begins with it. No handler is called from within `resume`, `pause`, `look`, `line` and
 * `log`: they answer later, from the loop. */
struct provider {
    box_provider_t kind;
    const provider_handlers_t *handlers;
    void *owner;

    /* Brings the box to run; does nothing where it does. Answered once by `resumed`, within a time that the
     * provider bounds. Called once for a box until it has answered. */
    void (*resume)(provider_t *provider, str_t id);
    /* The box was idle for its idle_ms. What comes of it is told by `box`. */
    void (*pause)(provider_t *provider, str_t id);
    /* Looks again, because something is odd: answered by `box`, unless the provider cannot be reached. */
    void (*look)(provider_t *provider, str_t id);
    /* These boxes (separated by '\n', a '\n' at the end) were active in the last second; NULL where the
     * provider need not know. */
    void (*activity)(provider_t *provider, str_t ids);
    /*
     * Questions about what the box wrote, stdout and stderr in the order of writing; NULL where the provider
     * keeps no logs (store_keeps_log). `line`: the line of its last run that best explains how it is
     * (last_words.h), without lines of an access log. `log`: its end. False where it cannot be asked now, or
     * too much is. Else answered within a time that the provider bounds, at the latest when it is freed.
     */
    bool (*line)(provider_t *provider, str_t id, provider_question_t *question);
    bool (*log)(provider_t *provider, str_t id, provider_question_t *question);
    /* Nobody waits for the answer any more; no-op where nobody does. */
    void (*forget)(provider_t *provider, provider_question_t *question);
    /* A new configuration is in force; valid until the next. */
    void (*set_conf)(provider_t *provider, const conf_t *conf);
    void (*free)(provider_t *provider);
};

/* The provider does not wait for an answer any more: takes `question` off it. */
static inline void provider_unask(provider_question_t *question)
{
    list_unlink(&question->link);
    question->asked = NULL;
}

#endif
