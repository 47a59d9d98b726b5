/*
 * What the parts of the docker provider share: containers and boxes (docker_boxes.c), the listing and the
 * stream of events that keep them right (docker_sync.c), resumes and pauses (docker_resume.c), what
 * containers wrote (docker_reading.c), and the provider itself (provider_docker.c). Nobody else includes
 * this.
 *
 * All that is known of a container comes from inspecting it; events only say which one to look at. There is
 * one inspection of a container under way at a time, so that answers cannot overtake each other.
 */
#ifndef BOXEDGE_DOCKER_INTERNAL_H
#define BOXEDGE_DOCKER_INTERNAL_H

#include "deadline.h"
#include "docker_calls.h"
#include "docker_json.h"
#include "docker_lines.h"
#include "list.h"
#include "name_map.h"
#include "provider_docker.h"

/* Containers that are kept, at most; also of boxes. */
#define DOCKER_CONTAINERS_MAX 16384
#define DOCKER_INSPECT_MS     10000
#define DOCKER_LIST_MS        20000
/* How long a resume may take from when the engine was asked, and how long it may wait until then, behind
 * others or for a container that changes. */
#define DOCKER_RESUME_MS 20000
#define DOCKER_QUEUE_MS  60000
/* A container that ends by itself within so long of its start, so often in a row, is in a loop. */
#define DOCKER_CRASH_MS    10000
#define DOCKER_CRASHES_MAX 2

typedef struct docker docker_t;
typedef struct docker_box docker_box_t;

/* How much is known of a container. */
typedef enum docker_known {
    DOCKER_KNOWN_NOT, /* its first inspection goes on */
    DOCKER_KNOWN_BOX,
    DOCKER_KNOWN_OTHER, /* it is no box */
} docker_known_t;

/* A container that has the label. */
typedef struct docker_entry {
    char id[DOCKER_ID_MAX + 1];
    docker_t *docker;
    docker_known_t known;
    docker_container_t seen; /* of the last inspection, where it is a box */
    docker_box_t *box;       /* which it is one of the containers of; NULL where it is no box */
    struct docker_entry *next;
    uint64_t listed;   /* the listing that had it */
    bool counted;      /* the listing waits for its inspection */
    uint64_t ended_ms; /* loop_now, when it was seen to have ended; 0: not while it was watched */
    uint64_t ran_ms;   /* loop_now, when it was seen to run, in the life that it has or had last */
    unsigned crashes;  /* in a row: lives that were over soon after they had begun */
    docker_call_t inspect;
    uint64_t asked;    /* inspections asked for */
    uint64_t covers;   /* those that the one under way answers */
    uint64_t answered; /* those that were */
    unsigned failures;
    loop_timer_t again; /* runs after a failure */
} docker_entry_t;

typedef enum docker_resume {
    RESUME_NONE,
    RESUME_NEW,    /* begins at the end of this turn */
    RESUME_SYNC,   /* waits for the listing: nothing is known of the box yet */
    RESUME_PAUSE,  /* waits for the end of a pause */
    RESUME_ACT,    /* was asked to unpause or start */
    RESUME_INIT,   /* has `init` run */
    RESUME_LOOK,   /* waits for an inspection */
    RESUME_CHANGE, /* waits before it looks again */
    RESUME_LOG,    /* waits for what it wrote last: it has failed */
} docker_resume_t;

/* A box: the containers with its id, of which one counts. */
struct docker_box {
    char id[BOX_ID_MAX + 1];
    docker_t *docker;
    docker_entry_t *first; /* of its containers */
    docker_entry_t *chosen;
    bool warned; /* that there is more than one */
    bool look;   /* it was asked about, and there is no container that could be inspected */
    /* What was told last. */
    bool told;
    char told_container[DOCKER_ID_MAX + 1];
    uint64_t told_started_ns;
    /* A resume. */
    docker_resume_t resume;
    docker_entry_t *target;  /* the container that is resumed; `chosen` when it was begun */
    docker_state_t acted_on; /* what it was then */
    bool acted_well;         /* and whether the engine did as asked */
    unsigned acts;
    unsigned relooks;      /* because the engine refused, or could not say how the container is */
    uint64_t target_asked; /* of RESUME_LOOK: the inspection that counts */
    char exec[DOCKER_EXEC_MAX + 1];
    char why[128];                  /* RESUME_LOG: the sentence before what it wrote */
    provider_question_t last_words; /* RESUME_LOG */
    docker_call_t call;
    loop_timer_t limit;
    loop_timer_t change;
    /* A pause. */
    docker_call_t pause;
    /* What it wrote. */
    list_t questions; /* provider_question_t.link; the first is being answered */
    docker_call_t reading;
    struct docker_log *log; /* of `reading` */
    uint64_t read_tail;     /* entries that it asked for; 0: all */
    size_t read_bytes;
    loop_timer_t reading_limit;
    list_t link; /* of docker->todo */
};

typedef enum docker_sync {
    SYNC_OFF,     /* before the first turn */
    SYNC_WAITING, /* for the next try */
    SYNC_LISTING,
    SYNC_INSPECTING, /* what the listing had */
    SYNC_DONE,       /* events tell the rest */
} docker_sync_t;

struct docker {
    provider_t provider;
    loop_t *loop;
    fetcher_t *fetcher;
    docker_engine_t *engine;
    char *label;
    uint32_t idle_ms;
    name_map_t entries; /* docker_entry_t by id */
    name_map_t boxes;   /* docker_box_t by id */
    loop_task_t task;
    list_t todo; /* boxes with something for the end of the turn */
    /* The listing and the events. */
    docker_sync_t sync;
    uint64_t listing; /* the number of the last one that began */
    size_t uninspected;
    bool incomplete; /* it has containers of which nothing is known */
    docker_call_t list;
    fetch_t *events;
    docker_lines_t *lines;
    deadline_t retry;
    loop_timer_t steady; /* runs from a complete listing on, until it is believed */
    unsigned tries;      /* that failed in a row */
    bool lost;           /* it was logged that the engine cannot be reached */
    uint64_t random;
};

/* ---- docker_boxes.c ---- */
docker_entry_t *docker_find_entry(const docker_t *docker, const char *id);
/* The container, which is added if it is not there; NULL where there are too many. */
docker_entry_t *docker_add_entry(docker_t *docker, const char *id);
/* There is no such container any more; frees it. */
void docker_remove_entry(docker_entry_t *entry);
/* Has it inspected, after what is under way. */
void docker_inspect(docker_entry_t *entry, bool background);
docker_box_t *docker_find_box(const docker_t *docker, str_t id);
docker_box_t *docker_add_box(docker_t *docker, str_t id);
/* Tells what the box is now. */
void docker_tell(docker_box_t *box);
/* Frees the box where nothing is left to know or to do. */
void docker_drop_box(docker_box_t *box);
/* Frees all, without a word. */
void docker_free_boxes(docker_t *docker);

/* ---- docker_sync.c ---- */
/* Begins at the next turn; or again, because what is known may be wrong or is by another configuration. */
void docker_sync_restart(docker_t *docker);
void docker_sync_stop(docker_t *docker);
/* One of the containers that the listing waits for was inspected, or is not there any more. */
void docker_sync_counted(docker_t *docker);

/* ---- docker_reading.c ---- */
/* As `line` and `log` of the provider (provider.h). */
MUST_USE bool docker_reading_ask(docker_box_t *box, provider_question_t *question, bool line);
void docker_reading_forget(provider_question_t *question);
/* Goes on with the questions that wait. */
void docker_reading_work(docker_box_t *box);
/* Answers all questions: there will be no answer. */
void docker_reading_end(docker_box_t *box);

/* ---- docker_resume.c ---- */
/* The box is looked after at the end of the turn: docker_resume_work. */
void docker_put_off(docker_box_t *box);
void docker_resume_work(docker_box_t *box);
/* The box's containers were looked at: `entry` was inspected (`failed`: in vain), or (NULL) it is another one
 * that counts now. */
void docker_resume_seen(docker_box_t *box, docker_entry_t *entry, bool failed);
void docker_pause(docker_box_t *box);
/* Ends what is under way, without a word. */
void docker_resume_cancel(docker_box_t *box);

#endif
