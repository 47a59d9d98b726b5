#include "traffic_service.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "list.h"
#include "process.h"

/* How often a question looks for workers that have died, and how long for one that cannot be reached, since
 * it may be about to end. */
#define LOOK_MS   50
#define ABSENT_MS 200

typedef enum traffic_state {
    TRAFFIC_NONE,    /* no worker, or it has answered, or it has died with its requests */
    TRAFFIC_WAITING, /* for the answer */
    TRAFFIC_ABSENT,  /* the worker could not be asked */
} traffic_state_t;

struct traffic_asked {
    traffic_service_t *service;
    list_t link; /* traffic_service_t.asked */
    uint64_t number;
    const traffic_handlers_t *handlers;
    void *owner;
    loop_timer_t timer;
    uint32_t waited_ms;
    traffic_state_t states[SHM_WORKERS_MAX];
    int pids[SHM_WORKERS_MAX]; /* of the workers that were asked */
};

struct traffic_service {
    loop_t *loop;
    shm_t *shm;
    worker_links_t *worker_links;
    list_t asked;
    size_t count;
    uint64_t last_number;
};

traffic_service_t *traffic_service_new(loop_t *loop, shm_t *shm, worker_links_t *worker_links)
{
    traffic_service_t *service = calloc(1, sizeof(*service));
    assert(service != NULL);
    *service = (traffic_service_t){.loop = loop, .shm = shm, .worker_links = worker_links};
    list_init(&service->asked);
    return service;
}

static void asked_free(traffic_asked_t *asked)
{
    loop_timer_stop(&asked->timer);
    list_unlink(&asked->link);
    asked->service->count--;
    free(asked);
}

void traffic_service_free(traffic_service_t **service)
{
    if (*service == NULL)
        return;
    while (!list_is_empty(&(*service)->asked))
        asked_free(CONTAINER_OF(traffic_asked_t, link, (*service)->asked.next));
    free(*service);
    *service = NULL;
}

void traffic_asked_cancel(traffic_asked_t **asked)
{
    asked_free(*asked);
    *asked = NULL;
}

static void complete(traffic_asked_t *asked)
{
    traffic_missing_t missing[SHM_WORKERS_MAX];
    const traffic_handlers_t *handlers = asked->handlers;
    shm_t *shm = asked->service->shm;
    uint32_t own = atomic_load(&shm_own_edge(shm)->number);
    void *owner = asked->owner;
    size_t count = 0;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        if (asked->states[i] != TRAFFIC_NONE)
            missing[count++] = (traffic_missing_t){i, asked->pids[i], shm_worker_edge(shm, i) != own};
    asked_free(asked);
    handlers->done(owner, missing, count);
}

static bool has_died(const traffic_asked_t *asked, unsigned index)
{
    int pid = asked->pids[index];
    return shm_worker_seen(asked->service->shm, index).pid != pid || (kill(pid, 0) != 0 && errno == ESRCH);
}

static size_t count_state(const traffic_asked_t *asked, traffic_state_t state)
{
    size_t count = 0;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        count += asked->states[i] == state;
    return count;
}

static void look(loop_timer_t *timer)
{
    traffic_asked_t *asked = CONTAINER_OF(traffic_asked_t, timer, timer);
    asked->waited_ms += LOOK_MS;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        if (asked->states[i] != TRAFFIC_NONE && has_died(asked, i))
            asked->states[i] = TRAFFIC_NONE;
    bool waits = count_state(asked, TRAFFIC_WAITING) != 0 && asked->waited_ms < TRAFFIC_WAIT_MS;
    bool looks = count_state(asked, TRAFFIC_ABSENT) != 0 && asked->waited_ms < ABSENT_MS;
    if (waits || looks)
        loop_timer_start(asked->service->loop, timer, LOOK_MS, look);
    else
        complete(asked);
}

/* A worker that is starting has no requests yet. */
static bool serves(shm_t *shm, unsigned index)
{
    shm_seen_t seen = shm_worker_seen(shm, index);
    return seen.pid != 0 && (seen.state == SHM_READY || seen.state == SHM_DRAINING);
}

traffic_asked_t *traffic_service_ask(traffic_service_t *service, const traffic_question_t *question,
                                     const traffic_handlers_t *handlers, void *owner)
{
    char bytes[TRAFFIC_QUESTION_BYTES];
    str_t text = str_make(bytes, traffic_question_write(question, bytes));
    if (service->count == TRAFFIC_QUESTIONS_MAX)
        return NULL;
    traffic_asked_t *asked = calloc(1, sizeof(*asked));
    assert(asked != NULL);
    asked->service = service;
    asked->number = ++service->last_number;
    asked->handlers = handlers;
    asked->owner = owner;
    list_insert(&service->asked, &asked->link);
    service->count++;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++) {
        if (!serves(service->shm, i))
            continue;
        bool sent = worker_links_notify(service->worker_links, i, PROCESS_TRAFFIC_ASK, asked->number, text);
        asked->states[i] = sent ? TRAFFIC_WAITING : TRAFFIC_ABSENT;
        asked->pids[i] = shm_worker_seen(service->shm, i).pid;
    }
    loop_timer_start(service->loop, &asked->timer, LOOK_MS, look);
    return asked;
}

static traffic_asked_t *find(const traffic_service_t *service, uint64_t number)
{
    for (list_t *link = service->asked.next; link != &service->asked; link = link->next)
        if (CONTAINER_OF(traffic_asked_t, link, link)->number == number)
            return CONTAINER_OF(traffic_asked_t, link, link);
    return NULL;
}

void traffic_service_take(traffic_service_t *service, unsigned index, uint64_t number, str_t bytes)
{
    traffic_asked_t *asked = find(service, number);
    if (asked == NULL || asked->states[index] != TRAFFIC_WAITING || bytes.n == 0)
        return; /* too late, or malformed */
    if (bytes.p[0] == TRAFFIC_PART_END)
        asked->states[index] = TRAFFIC_NONE;
    asked->handlers->part(asked->owner, index, bytes);
    if (count_state(asked, TRAFFIC_WAITING) + count_state(asked, TRAFFIC_ABSENT) == 0)
        complete(asked);
}
