#include "controller_internal.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/crypto.h>

#include "clock.h"
#include "descriptors.h"
#include "list.h"
#include "process.h"
#include "process_log.h"
#include "provider_process.h"

#define PATH_BYTES 4096
/* Time limit for open connections of the admin socket when the edge drains. */
#define DRAIN_MS 2000
/* Interval of maintenance: rotation of keys and deletion of expired previews. */
#define MAINTENANCE_MS 60000
/* First and longest wait before parts of the store that cannot be opened are tried again. */
#define REOPENING_FIRST_MS 1000
#define REOPENING_MOST_MS  60000

static void set_state(controller_t *controller, controller_state_t state)
{
    assert(state > controller->state);
    controller->state = state;
}

static void end(controller_t *controller)
{
    if (controller->state != CONTROLLER_ENDS)
        set_state(controller, CONTROLLER_ENDS);
}

static uint64_t wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- the configuration in force ---- */

/* The store's part of a new configuration. */
typedef struct conf_job {
    store_job_t job;
    controller_t *controller;
    conf_t *conf; /* one reference; of the thread while the job runs */
    uint64_t generation;
    store_result_t result;
    char why[256];
} conf_job_t;

static void conf_run(store_job_t *job, store_t *store)
{
    conf_job_t *work = CONTAINER_OF(conf_job_t, job, job);
    work->result = controller_put_boxes(store, work->conf, wall_us(), &job->changed);
    if (work->result != STORE_OK)
        snprintf(work->why, sizeof work->why, "%s", store_error(store));
    bool made;
    controller_make_previews(store, work->conf, wall_us() / 1000000, &made);
    job->changed |= made;
}

static void log_boxes_error(const char *why)
{
    process_log(LOG_STORE_CHANGE_FAILED, "controller",
                "the boxes of the configuration are not all recorded: %s", why);
}

static void conf_done(store_job_t *job)
{
    conf_job_t *work = CONTAINER_OF(conf_job_t, job, job);
    controller_t *controller = work->controller;
    if (work->result != STORE_OK)
        log_boxes_error(work->why);
    if (controller->supervisor != NULL)
        channel_send(controller->supervisor, PROCESS_CONF_DONE, work->generation, STR(""), NULL, 0);
    conf_release(&work->conf);
    free(work);
}

/* The supervisor checked the configuration, so this process is broken: exit, to be restarted. */
static void fail(controller_t *controller, const char *why)
{
    process_log(LOG_CONF_NOT_TAKEN, "controller", "cannot take the new configuration: %s", why);
    controller->status = 1;
    end(controller);
}

/* Swaps immediately; the boxes follow on the store's thread. The thread gets a separate snapshot, since
 * references are counted without atomics. */
static void take_conf(controller_t *controller, ipc_message_t *message)
{
    char error[512];
    int fd = message->fds[0];
    conf_t *conf = process_conf_read(fd, error, sizeof error);
    conf_t *copy = conf != NULL ? process_conf_read(fd, error, sizeof error) : NULL;
    if (copy == NULL) {
        conf_release(&conf);
        fail(controller, error);
        return;
    }
    conf_release(&controller->conf);
    controller->conf = conf;
    admin_set_conf(controller->admin, conf);
    admin_listen(controller->admin, conf, message->fds + 1, message->fd_count - 1);
    boxes_set_conf(controller->boxes, conf);
    providers_set_conf(controller->providers, conf);
    upstreams_set_conf(controller->upstreams, conf);
    deletion_service_set_conf(controller->deletions, conf);
    wake_coordinator_set_conf(controller->coordinator, conf);
    trace_service_set_conf(controller->traces, conf);
    conf_job_t *work = calloc(1, sizeof *work);
    assert(work != NULL);
    *work = (conf_job_t){.job = {.run = conf_run, .done = conf_done},
                         .controller = controller,
                         .conf = copy,
                         .generation = message->value};
    if (!store_thread_add(controller->store, &work->job)) {
        conf_release(&work->conf);
        free(work);
        fail(controller, "too many changes wait for the store");
    }
}

/* ---- dead readers ---- */

static void reap(store_t *store)
{
    int reaped = store_reap_readers(store);
    if (reaped > 0)
        process_log(LOG_STORE_READERS_FREED, "controller", "%d reader slots of the store freed", reaped);
}

static void reap_run(store_job_t *job, store_t *store)
{
    (void)job;
    reap(store);
}

static void job_free(store_job_t *job)
{
    free(job);
}

static void reap_readers(controller_t *controller)
{
    store_job_t *job = calloc(1, sizeof *job);
    assert(job != NULL);
    job->run = reap_run;
    job->done = job_free;
    if (!store_thread_add(controller->store, job))
        free(job); /* the next death reaps these too */
}

/* ---- maintenance: once a minute ---- */

/* One piece of it; other jobs of the store may run in between. */
typedef struct maintenance_job {
    store_job_t job;
    controller_t *controller;
    wall_span_t span;
    controller_sweep_t sweep;
} maintenance_job_t;

static void maintenance_run(store_job_t *job, store_t *store)
{
    maintenance_job_t *maintenance = CONTAINER_OF(maintenance_job_t, job, job);
    bool rotated = false, deleted;
    if (maintenance->sweep.id[0] == '\0') {
        reap(store); /* of commands that were killed: a slot keeps the pages of its commit */
        rotated = controller_refresh_cookie_keys(store, wall_us() / 1000000, maintenance->span);
    }
    if (controller_sweep(store, maintenance->span.earliest, &maintenance->sweep, &deleted) != STORE_OK) {
        if (!store_in_trouble(store))
            process_log(LOG_STORE_CHANGE_FAILED, "controller", "expired previews cannot be deleted: %s",
                        store_error(store));
        maintenance->sweep.done = true;
    }
    job->changed = deleted || rotated;
}

static void maintenance_done(store_job_t *job)
{
    maintenance_job_t *maintenance = CONTAINER_OF(maintenance_job_t, job, job);
    controller_t *controller = maintenance->controller;
    bool more = !maintenance->sweep.done && controller->state == CONTROLLER_SERVES;
    if (!more || !store_thread_add(controller->store, job))
        free(maintenance); /* maintenance resumes in a minute */
}

static void maintenance_due(loop_timer_t *timer)
{
    controller_t *controller = CONTAINER_OF(controller_t, maintenance, timer);
    maintenance_job_t *maintenance = calloc(1, sizeof *maintenance);
    assert(maintenance != NULL);
    *maintenance =
        (maintenance_job_t){.job = {.run = maintenance_run, .done = maintenance_done},
                            .controller = controller,
                            .span = wall_clock_span(&controller->wall_clock, loop_now(controller->loop))};
    if (!store_thread_add(controller->store, &maintenance->job))
        free(maintenance); /* maintenance resumes in a minute */
    loop_timer_start(controller->loop, timer, MAINTENANCE_MS, maintenance_due);
}

/* ---- parts of the store that cannot be opened ---- */

typedef struct reopening_job {
    store_job_t job;
    controller_t *controller;
    bool may_open;
} reopening_job_t;

static void reopening_run(store_job_t *job, store_t *store)
{
    CONTAINER_OF(reopening_job_t, job, job)->may_open = store_may_open(store);
}

static void reopening_due(loop_timer_t *timer);

/* A controller begins by reading the whole store, so another one takes over. */
static void reopening_done(store_job_t *job)
{
    reopening_job_t *reopening = CONTAINER_OF(reopening_job_t, job, job);
    controller_t *controller = reopening->controller;
    if (reopening->may_open && controller->state == CONTROLLER_SERVES) {
        process_log(LOG_STORE_FREE, "controller",
                    "the store can be opened again: the controller starts anew");
        end(controller);
    } else if (controller->state == CONTROLLER_SERVES) {
        loop_timer_start(controller->loop, &controller->reopening, controller->reopening_ms, reopening_due);
    }
    free(reopening);
}

static void reopening_due(loop_timer_t *timer)
{
    controller_t *controller = CONTAINER_OF(controller_t, reopening, timer);
    reopening_job_t *reopening = calloc(1, sizeof *reopening);
    assert(reopening != NULL);
    *reopening =
        (reopening_job_t){.job = {.run = reopening_run, .done = reopening_done}, .controller = controller};
    controller->reopening_ms *= 2;
    if (controller->reopening_ms > REOPENING_MOST_MS)
        controller->reopening_ms = REOPENING_MOST_MS;
    if (store_thread_add(controller->store, &reopening->job))
        return;
    free(reopening);
    loop_timer_start(controller->loop, timer, controller->reopening_ms, reopening_due);
}

/* ---- channels ---- */

static void drain_expired(loop_timer_t *timer)
{
    end(CONTAINER_OF(controller_t, drain, timer));
}

static void begin_drain(controller_t *controller)
{
    if (controller->state != CONTROLLER_SERVES)
        return;
    set_state(controller, CONTROLLER_DRAINS);
    atomic_store(&shm_controller(controller->shm)->state, SHM_DRAINING);
    admin_drain(controller->admin);
    worker_links_stop_receiving(controller->worker_links);
    trace_service_hurry(controller->traces);
    loop_timer_start(controller->loop, &controller->drain, DRAIN_MS, drain_expired);
}

static void supervisor_message(void *owner, ipc_message_t *message)
{
    controller_t *controller = owner;
    switch ((process_message_t)message->type) {
    case PROCESS_CONF:
        if (message->fd_count >= 1 && controller->state == CONTROLLER_SERVES)
            take_conf(controller, message);
        break;
    case PROCESS_LEAVING:
        admin_leave(controller->admin);
        break;
    case PROCESS_DRAIN:
        begin_drain(controller);
        break;
    case PROCESS_RELOAD_RESULT:
        admin_reload_done(controller->admin, message->value == 1, str_make(message->bytes, message->len));
        break;
    case PROCESS_UPGRADE_FAILED:
        admin_upgrade_failed(controller->admin, message->value, str_make(message->bytes, message->len));
        break;
    case PROCESS_LINK:
        if (message->fd_count >= 1)
            worker_links_take(controller->worker_links, message->value, &message->fds[0]);
        break;
    case PROCESS_RUNNER:
        if (message->fd_count >= 1)
            runner_client_take(controller->runner, &message->fds[0]);
        break;
    case PROCESS_WORKER_DIED:
        reap_readers(controller);
        break;
    default:
        break; /* not for the controller */
    }
}

static void supervisor_closed(void *owner)
{
    controller_t *controller = owner;
    process_log(LOG_SUPERVISOR_GONE, "controller", "the supervisor is gone");
    channel_free(&controller->supervisor);
    end(controller);
}

static void supervisor_lost(void *owner, uint32_t type, uint64_t value)
{
    channel_retry(((controller_t *)owner)->supervisor, "controller", type, value);
}

static const channel_handlers_t supervisor_handlers = {
    .message = supervisor_message, .closed = supervisor_closed, .lost = supervisor_lost};

/* A message of a worker. */
static void worker_message(void *owner, unsigned index, ipc_message_t *message)
{
    controller_t *controller = owner;
    str_t bytes = str_make(message->bytes, message->len);
    switch (message->type) {
    case PROCESS_WAKE:
        /* A box that starts slowly is not paused while its waiting page is open. */
        if (wake_coordinator_request(controller->coordinator, index, bytes, wake_wish_of(message->value),
                                     wake_wish_came_ms(message->value)) ||
            wake_wish_of(message->value) != WAKE_WISH_WATCH)
            idle_wanted(controller->idle, bytes);
        break;
    case PROCESS_PREVIEW:
        preview_service_take(controller->previews, index, message->value, bytes, wall_us() / 1000000);
        break;
    case PROCESS_PREVIEW_LINK:
        preview_service_take_link(controller->previews, index, message->value, bytes, wall_us() / 1000000);
        break;
    case PROCESS_DELETION:
        deletion_service_take(controller->deletions, index, message->value, bytes);
        break;
    case PROCESS_UPSTREAM_SLOT:
        worker_links_notify_all(controller->worker_links, PROCESS_UPSTREAM_SLOT, message->value, STR(""));
        break;
    case PROCESS_TRACE:
        trace_service_take(controller->traces, bytes);
        break;
    case PROCESS_TRAFFIC:
        traffic_service_take(controller->traffic, index, message->value, bytes);
        break;
    case PROCESS_ACTIVE:
        idle_active(controller->idle, bytes);
        break;
    case PROCESS_LOOK:
        if (box_id_valid(bytes))
            boxes_request_report(controller->boxes, bytes);
        break;
    case PROCESS_BOX_PORTS_REQUEST:
        box_ports_service_request(controller->listening, index, bytes, message->value);
        break;
    default:
        break; /* not for the controller */
    }
}

/* ---- the process ---- */

static void beat(loop_timer_t *timer)
{
    controller_t *controller = CONTAINER_OF(controller_t, heartbeat, timer);
    controller_look_at_clock(&controller->wall_clock, controller->loop);
    process_facts_turn(&controller->facts, clock_now_ms());
    atomic_store(&shm_controller(controller->shm)->heartbeat_ms, clock_now_ms());
    loop_timer_start(controller->loop, timer, PROCESS_HEARTBEAT_MS, beat);
}

/* The boxes of the store, of all providers. */
typedef struct known_boxes {
    store_box_t *at;
    size_t count;
    size_t room;
} known_boxes_t;

static bool collect_box(const store_box_t *box, void *arg)
{
    known_boxes_t *known = arg;
    if (known->count == known->room) {
        known->room = known->room != 0 ? known->room * 2 : 64;
        known->at = reallocarray(known->at, known->room, sizeof(*known->at));
        assert(known->at != NULL);
    }
    known->at[known->count++] = *box;
    return true;
}

/* Opens the store and records the configuration's boxes, before any worker reads them. */
static store_t *open_store(const controller_args_t *args, known_boxes_t *known, uint64_t *closed)
{
    char durable[PATH_BYTES];
    char volatile_dir[PATH_BYTES];
    char error[512];
    if (!process_store_dirs(args->conf, durable, volatile_dir, PATH_BYTES)) {
        process_log(LOG_NOT_STARTED, "controller", "the path of state_dir or run_dir is too long");
        return NULL;
    }
    uint64_t map_bytes = args->conf->store_map_bytes;
    uint64_t damaged = store_health_bad_pages(shm_store_health(args->shm));
    *closed = 0;
    store_t *store = args->must_open ? store_open(durable, volatile_dir, map_bytes, true, error, sizeof error)
                                     : store_open_patiently(durable, volatile_dir, map_bytes, true, damaged,
                                                            closed, error, sizeof error);
    if (store != NULL && (*closed & ~damaged) != 0) /* known damage has its message */
        process_log(
            LOG_STORE_NOT_OPENED, "controller",
            "the store cannot be opened: %s; changes of it are refused until it can, and what workers "
            "read is served on",
            error);
    if (store == NULL) {
        process_log(LOG_STORE_NOT_OPENED, "controller", "the store cannot be opened: %s", error);
        return NULL;
    }
    (void)controller_refresh_cookie_keys(store, wall_us() / 1000000, WALL_SPAN_UNKNOWN);
    store_reap_readers(store); /* of the workers that died with the previous controller */
    bool changed;
    store_result_t result = controller_put_boxes(store, args->conf, wall_us(), &changed);
    if (result != STORE_OK && !store_in_trouble(store))
        log_boxes_error(store_error(store));
    controller_make_previews(store, args->conf, wall_us() / 1000000, &changed);
    if (store_each_box(store, collect_box, known) == STORE_FAILED && !store_in_trouble(store))
        process_log(LOG_STORE_DAMAGED, "controller", "the known boxes cannot be read: %s",
                    store_error(store));
    shm_epoch_bump(args->shm);
    return store;
}

/* Answers of the admin API contain new secrets, and JSON copies them: cleanse memory before it is freed. */
static void free_cleansed(void *memory)
{
    if (memory != NULL)
        OPENSSL_cleanse(memory, malloc_usable_size(memory));
    free(memory);
}

static void listen_for_metrics(controller_t *controller, const controller_args_t *args)
{
    int fds[PROCESS_LISTENERS_MAX];
    size_t count = controller->conf->listener_count - conf_worker_listeners(controller->conf);
    memcpy(fds, args->metrics_fds, sizeof(fds[0]) * count);
    admin_listen(controller->admin, controller->conf, fds, count);
}

static bool start(controller_t *controller, const controller_args_t *args)
{
    json_set_alloc_funcs(malloc, free_cleansed);
    *controller = (controller_t){.loop = loop_new(), .conf = args->conf, .shm = args->shm};
    known_boxes_t known = {.count = 0};
    uint64_t closed;
    store_t *store = open_store(args, &known, &closed);
    if (store == NULL)
        return false;
    controller->store = store_thread_new(controller->loop, store, args->shm);
    if (controller->store == NULL) {
        process_log(LOG_NOT_STARTED, "controller", "the thread of the store cannot be started: %s",
                    strerror(errno));
        free(known.at);
        return false;
    }
    controller->worker_links = worker_links_new(controller->loop, worker_message, controller);
    controller->boxes = boxes_new(controller->loop, controller->conf, controller->store,
                                  controller->worker_links, known.at, known.count, wall_us());
    free(known.at);
    controller->runner = runner_client_new(controller->loop);
    controller->processes =
        provider_process_new(controller->loop, controller->conf, controller->runner, args->runner_lives,
                             &boxes_provider_handlers, controller->boxes);
    boxes_set_provider(controller->boxes, PROVIDER_PROCESS, controller->processes);
    controller->listening = box_ports_service_new(controller->loop, controller->store, controller->boxes,
                                                  controller->worker_links);
    controller->coordinator =
        wake_coordinator_new(controller->loop, controller->conf, controller->boxes, controller->worker_links,
                             controller->listening, shm_wakes(controller->shm));
    controller->idle = idle_new(controller->loop, controller->boxes);
    controller->providers = providers_new(controller->loop, controller->conf, controller->boxes);
    controller->previews = preview_service_new(controller->store, controller->worker_links);
    controller->upstreams = upstreams_new(controller->loop, controller->conf, shm_balance(controller->shm));
    controller->deletions =
        deletion_service_new(controller->loop, controller->conf, controller->store, controller->worker_links,
                             controller->boxes, shm_balance(controller->shm), controller->upstreams);
    controller->traffic = traffic_service_new(controller->loop, controller->shm, controller->worker_links);
    controller->traces = trace_service_new(controller->loop, controller->conf);
    controller->admin = admin_new(controller->loop, controller->conf, controller->shm, controller->store,
                                  args->admin_fd, &controller_controls, controller);
    listen_for_metrics(controller, args);
    admin_set_runner(controller->admin, controller->runner);
    admin_set_wall_clock(controller->admin, &controller->wall_clock);
    admin_set_upstreams(controller->admin, controller->upstreams);
    admin_set_traffic(controller->admin, controller->traffic);
    admin_set_traces(controller->admin, controller->traces);
    controller->supervisor =
        channel_new(controller->loop, args->supervisor_fd, &supervisor_handlers, controller);
    channel_use_reserve(controller->supervisor);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++) {
        int fd = args->worker_fds[i];
        worker_links_take(controller->worker_links, i, &fd);
    }
    process_facts_open(&controller->facts, &shm_controller(controller->shm)->process);
    beat(&controller->heartbeat);
    maintenance_due(&controller->maintenance);
    controller->reopening_ms = REOPENING_FIRST_MS;
    if (closed != 0)
        loop_timer_start(controller->loop, &controller->reopening, REOPENING_FIRST_MS, reopening_due);
    atomic_store(&shm_controller(controller->shm)->state, SHM_READY);
    channel_send(controller->supervisor, PROCESS_READY, 0, STR(""), NULL, 0);
    return true;
}

/* Ends the admin socket first: the waiting jobs of the store still run, but nobody waits for them. */
static void stop(controller_t *controller)
{
    loop_timer_stop(&controller->heartbeat);
    process_facts_close(&controller->facts);
    loop_timer_stop(&controller->drain);
    loop_timer_stop(&controller->maintenance);
    loop_timer_stop(&controller->reopening);
    admin_free(&controller->admin);
    traffic_service_free(&controller->traffic);
    trace_service_free(&controller->traces);
    controller->processes->free(controller->processes);
    runner_client_free(&controller->runner);
    if (controller->boxes != NULL)
        boxes_stop(controller->boxes);
    preview_service_free(&controller->previews);
    deletion_service_free(&controller->deletions);
    store_thread_free(&controller->store);
    idle_free(&controller->idle);
    wake_coordinator_free(&controller->coordinator);
    box_ports_service_free(&controller->listening);
    providers_free(&controller->providers);
    upstreams_free(&controller->upstreams);
    boxes_free(&controller->boxes);
    worker_links_free(&controller->worker_links); /* the last changes may send messages */
    channel_free(&controller->supervisor);
    loop_free(&controller->loop);
    conf_release(&controller->conf);
}

/* Drains: all that clients and workers have asked for is answered. */
static bool has_finished(const controller_t *controller)
{
    return admin_clients(controller->admin) == 0 && worker_links_received(controller->worker_links) &&
           store_thread_pending(controller->store) == 0 && trace_service_is_empty(controller->traces);
}

int controller_run(const controller_args_t *args)
{
    controller_t controller;
    (void)descriptors_keep_reserve();
    if (!start(&controller, args))
        return 1;
    while (controller.state != CONTROLLER_ENDS) {
        loop_turn(controller.loop, INT32_MAX);
        if (controller.state == CONTROLLER_DRAINS && has_finished(&controller))
            end(&controller);
    }
    stop(&controller);
    return controller.status;
}
