/*
 * A worker: one process, one loop, everything from accept to the access line. The supervisor gives it its
 * start state (process.h), and new configurations and log files while it serves. It ends when it is drained.
 * See also worker.h (state that its parts share).
 */
#include "worker.h"

#include <assert.h>
#include <limits.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/crypto.h>

#include "acceptor.h"
#include "access.h"
#include "access_log.h"
#include "activity.h"
#include "api.h"
#include "backlog.h"
#include "blocks.h"
#include "channel.h"
#include "client.h"
#include "crash.h"
#include "descriptors.h"
#include "drain.h"
#include "farewell.h"
#include "heap.h"
#include "hostname.h"
#include "http2_client.h"
#include "in_flight.h"
#include "keys.h"
#include "linger.h"
#include "links.h"
#include "list.h"
#include "listeners.h"
#include "origin_pool.h"
#include "origin_tls.h"
#include "pipeline.h"
#include "preview_client.h"
#include "process.h"
#include "process_birth.h"
#include "process_facts.h"
#include "process_log.h"
#include "random_id.h"
#include "refused.h"
#include "relief.h"
#include "requests.h"
#include "routes.h"
#include "shm.h"
#include "slots.h"
#include "store.h"
#include "system_calls.h"
#include "tls.h"
#include "tracing.h"
#include "traffic.h"
#include "tunnel.h"
#include "upstream_queue.h"
#include "wake.h"

/* Maximum idle connections to origins. */
#define POOL_CONNECTIONS 1024
#define GAUGES_MS        1000
/* Descriptors of PROCESS_CONF before the sockets. */
#define CONF_FDS 3

typedef struct worker_process {
    worker_t worker;
    flights_t flights;
    char name[24];  /* "worker 3", in log lines */
    unsigned index; /* 3 */
    shm_child_t *slot;
    store_t *store;
    channel_t *supervisor;
    channel_t *controller; /* NULL: the controller is down */
    listeners_t listeners;
    loop_timer_t gauges;
    process_facts_t facts;
    drain_t drain;
    tls_ticket_keys_t tickets;
    uint64_t tickets_seen; /* version of the keys in the segment that were taken last */
    uint64_t met_damage;   /* parts of the store whose damage was reported */
    bool ended;
    int status;
} worker_process_t;

/* The loop ends after this turn. */
static void end(worker_process_t *process, int status)
{
    process->ended = true;
    process->status = status;
}

/* ---- state from a configuration ---- */

static tls_t *make_tls(worker_process_t *process, const tls_pem_t *pems, size_t count, char *error,
                       size_t error_len)
{
    (void)!shm_ticket_keys_get(process->worker.context.shm, &process->tickets_seen, &process->tickets);
    return tls_new(pems, count, &process->tickets, error, error_len);
}

static void refresh_tickets(worker_process_t *process)
{
    if (process->worker.context.tls != NULL &&
        shm_ticket_keys_get(process->worker.context.shm, &process->tickets_seen, &process->tickets))
        tls_set_ticket_keys(process->worker.context.tls, &process->tickets);
}

static void remake_routes(worker_process_t *process)
{
    worker_t *worker = &process->worker;
    routes_free(&worker->routes);
    worker->routes = routes_new(process->store, str_from(worker->context.conf->preview_domain),
                                shm_epoch(worker->context.shm));
}

/* The state for a new configuration, from the supervisor's message. */
typedef struct fresh {
    conf_t *conf;
    tls_pem_t *pems, *origin_pems;
    size_t pem_count, origin_pem_count;
    tls_t *tls; /* NULL: no listener has TLS */
    origin_tls_t *origin_tls;
} fresh_t;

static bool read_fresh(fresh_t *fresh, const ipc_message_t *message, char *error, size_t error_len)
{
    snprintf(error, error_len, "the supervisor's message is not whole");
    if (message->fd_count < CONF_FDS ||
        !process_pems_read(message->fds[1], &fresh->pems, &fresh->pem_count) ||
        !process_pems_read(message->fds[2], &fresh->origin_pems, &fresh->origin_pem_count))
        return false;
    fresh->conf = process_conf_read(message->fds[0], error, error_len);
    if (fresh->conf == NULL)
        return false;
    if (conf_worker_listeners(fresh->conf) + CONF_FDS == message->fd_count &&
        fresh->conf->upstream_count == fresh->origin_pem_count)
        return true;
    snprintf(error, error_len,
             "the supervisor's message has %zu sockets for %zu listeners and %zu PEMs for %zu upstreams",
             message->fd_count - CONF_FDS, conf_worker_listeners(fresh->conf), fresh->origin_pem_count,
             fresh->conf->upstream_count);
    return false;
}

static bool make_fresh(worker_process_t *process, fresh_t *fresh, char *error, size_t error_len)
{
    if (fresh->pem_count > 0) {
        fresh->tls = make_tls(process, fresh->pems, fresh->pem_count, error, error_len);
        if (fresh->tls == NULL)
            return false;
    }
    fresh->origin_tls =
        origin_tls_new(fresh->conf, fresh->origin_pems, process->worker.origin_tls, error, error_len);
    return fresh->origin_tls != NULL;
}

/* Takes a new configuration. False: nothing has changed, and `error` has a sentence. */
static bool take_conf(worker_process_t *process, ipc_message_t *message, char *error, size_t error_len)
{
    worker_t *worker = &process->worker;
    fresh_t fresh = {.conf = NULL};
    bool ok = read_fresh(&fresh, message, error, error_len) && make_fresh(process, &fresh, error, error_len);
    process_pems_free(&fresh.pems, fresh.pem_count);
    process_pems_free(&fresh.origin_pems, fresh.origin_pem_count);
    if (!ok) {
        conf_release(&fresh.conf);
        tls_free(&fresh.tls);
        return false;
    }
    bool moved = strcmp(fresh.conf->preview_domain, worker->context.conf->preview_domain) != 0;
    conf_release(&worker->context.conf);
    worker->context.conf = fresh.conf;
    tls_free(&worker->context.tls);
    worker->context.tls = fresh.tls;
    origin_tls_release(&worker->origin_tls);
    worker->origin_tls = fresh.origin_tls;
    if (moved)
        remake_routes(process);
    const access_log_style_t style = access_log_style_of(worker->context.conf);
    if (worker->log != NULL)
        access_log_restyle(worker->log, &style);
    api_limit_name_plans(worker);
    listeners_swap(&process->listeners, &worker->context, message->fds + CONF_FDS);
    return true;
}

static void open_log(worker_t *worker, line_target_t target)
{
    const access_log_style_t style = access_log_style_of(worker->context.conf);
    if (target.fd < 0) {
        access_log_free(&worker->log);
    } else if (worker->log != NULL) {
        access_log_reopen(worker->log, target);
    } else {
        worker->log = access_log_new(target, &style, worker->context.counters);
        access_log_keep(worker->log, recent_lines_share(worker->context.conf->workers));
    }
}

static void take_log(worker_process_t *process, ipc_message_t *message)
{
    line_target_t target = {message->fd_count > 0 ? message->fds[0] : -1, (line_form_t)message->value};
    if (target.fd >= 0)
        message->fds[0] = -1;
    open_log(&process->worker, target);
}

/* ---- draining ---- */

/* The title of a worker that lives on beside a successor. */
static void name_old(const worker_process_t *process)
{
    char title[16];
    snprintf(title, sizeof(title), "old-worker-%u", process->index);
    prctl(PR_SET_NAME, title, 0, 0, 0);
}

/* `how`: PROCESS_DRAIN_*. */
static void begin_drain(worker_process_t *process, uint64_t how)
{
    worker_t *worker = &process->worker;
    bool others_accept = (how & PROCESS_DRAIN_OTHERS_ACCEPT) != 0;
    bool keeps_open = (how & PROCESS_DRAIN_KEEPS_OPEN) != 0;
    bool controller = (how & PROCESS_DRAIN_NO_CONTROLLER) == 0;
    if (worker->context.draining) {
        if (!keeps_open)
            drain_hasten(&process->drain);
        return;
    }
    worker->context.draining = true;
    farewells_free(&worker->context.farewells);
    atomic_store(&process->slot->state, SHM_DRAINING);
    shm_worker_show(worker->context.shm, worker->context.index);
    listeners_close(&process->listeners, !others_accept);
    if (keeps_open)
        name_old(process);
    drain_begin(&process->drain, &worker->context,
                !keeps_open  ? DRAIN_KEEPS_NOTHING
                : controller ? DRAIN_KEEPS_ALL
                             : DRAIN_KEEPS_EXCHANGES);
    if (!controller)
        wake_client_give_up(worker->wake_client);
}

/* ---- messages ---- */

/* See PROCESS_TUNNELS. "blocks" needs no action: serve() checks after each turn. */
static void end_tunnels(worker_t *worker, str_t which, uint64_t below)
{
    hostname_t name;
    str_t preview = STR("preview ");
    if (str_eq(which, STR("previews")))
        tunnels_close_outdated(&worker->context);
    else if (str_eq(which, STR("links")))
        tunnels_close_unlinked(&worker->context);
    else if (str_starts(which, preview) && hostname_parse_label(str_from_offset(which, preview.n), &name))
        tunnels_close_preview(&worker->context, str_make(name.id, name.id_len), name.port, below);
}

static void on_controller_message(void *owner, ipc_message_t *message)
{
    worker_process_t *process = owner;
    if (message->type == PROCESS_TUNNELS)
        end_tunnels(&process->worker, str_make(message->bytes, message->len), message->value);
    else if (message->type == PROCESS_PREVIEW_DONE)
        preview_client_message(process->worker.preview_client, message);
    else if (message->type == PROCESS_UPSTREAM_SLOT)
        upstream_queue_message(process->worker.upstream_queue, message->value);
    else if (message->type == PROCESS_BOXES)
        activity_boxes_changed(process->worker.activity);
    else if (message->type == PROCESS_TRAFFIC_ASK)
        requests_take(&process->worker.context, process->controller, message);
    else if (message->type == PROCESS_BOX_PORTS)
        refused_message(process->worker.refused, message);
    else
        wake_client_message(process->worker.wake_client, message);
}

static void on_controller_closed(void *owner)
{
    worker_process_t *process = owner;
    wake_client_set_channel(process->worker.wake_client, NULL);
    activity_set_channel(process->worker.activity, NULL);
    refused_set_channel(process->worker.refused, NULL);
    upstream_queue_set_channel(process->worker.upstream_queue, NULL);
    preview_client_set_channel(process->worker.preview_client, NULL);
    tracing_set_channel(process->worker.tracing, NULL);
    channel_free(&process->controller); /* until PROCESS_LINK the worker serves running boxes without it */
}

static void open_controller(worker_process_t *process, int fd)
{
    static const channel_handlers_t handlers = {.message = on_controller_message,
                                                .closed = on_controller_closed};
    channel_free(&process->controller);
    if (fd >= 0)
        process->controller = channel_new(process->worker.context.loop, fd, &handlers, process);
    wake_client_set_channel(process->worker.wake_client, process->controller);
    activity_set_channel(process->worker.activity, process->controller);
    refused_set_channel(process->worker.refused, process->controller);
    upstream_queue_set_channel(process->worker.upstream_queue, process->controller);
    preview_client_set_channel(process->worker.preview_client, process->controller);
    tracing_set_channel(process->worker.tracing, process->controller);
}

static void on_conf(worker_process_t *process, ipc_message_t *message)
{
    char error[512] = "";
    if (process->worker.context.draining)
        return;
    if (!take_conf(process, message, error, sizeof(error))) {
        /* The supervisor has checked it. This process is broken; exit and let the supervisor restart it. */
        process_log(LOG_CONF_NOT_TAKEN, process->name, "cannot take the new configuration: %s", error);
        end(process, 1);
        return;
    }
    (void)channel_send(process->supervisor, PROCESS_CONF_DONE, message->value, STR(""), NULL, 0);
}

static void on_message(void *owner, ipc_message_t *message)
{
    worker_process_t *process = owner;
    switch (message->type) {
    case PROCESS_CONF:
        on_conf(process, message);
        break;
    case PROCESS_LOG:
        take_log(process, message);
        break;
    case PROCESS_LEAVING:
        process->worker.context.leaving = true;
        break;
    case PROCESS_DRAIN:
        begin_drain(process, message->value);
        break;
    case PROCESS_QUEUE:
        if (!process->worker.context.draining)
            listeners_borrow(&process->listeners, &process->worker.context, message->value, message->fds,
                             message->fd_count);
        break;
    case PROCESS_QUEUE_BACK:
        listeners_return(&process->listeners, message->value);
        break;
    case PROCESS_LINK:
        if (message->fd_count == 1) {
            open_controller(process, message->fds[0]);
            message->fds[0] = -1;
            tunnels_close_outdated(&process->worker.context); /* the last one's messages may be lost */
        }
        break;
    default:
        process_log(LOG_PROCESS_FAULTY, process->name, "a message of unknown type %u from the supervisor",
                    message->type);
    }
}

static void on_lost(void *owner, uint32_t type, uint64_t value)
{
    worker_process_t *process = owner;
    channel_retry(process->supervisor, process->name, type, value);
}

static void on_supervisor_closed(void *owner)
{
    end(owner, 1); /* without a supervisor, nothing would restart or end this worker */
}

/* ---- start, loop, end ---- */

static void on_gauges(loop_timer_t *timer)
{
    worker_process_t *process = CONTAINER_OF(worker_process_t, gauges, timer);
    worker_t *worker = &process->worker;
    counter_set(&worker->context.counters->buffered_bytes, account_own(&worker->context.memory));
    counter_set(&worker->context.counters->kernel_bytes, worker->context.memory.kernel);
    counter_set(&worker->context.counters->heap_allocated_bytes, heap_allocated());
    process_facts_turn(&process->facts, loop_now(worker->context.loop));
    shm_worker_show(worker->context.shm, worker->context.index);
    tunnels_close_expired(&worker->context);
    links_report(worker);
    loop_timer_start(worker->context.loop, timer, GAUGES_MS, on_gauges);
}

/* A worker that starts while the edge serves continues without the parts that it cannot open: 503 for some
 * requests is better than no answer to any. */
static bool open_store(worker_process_t *process, bool must_open)
{
    char durable[PATH_MAX], fleeting[PATH_MAX], error[512];
    const conf_t *conf = process->worker.context.conf;
    uint64_t closed = 0;
    if (!process_store_dirs(conf, durable, fleeting, PATH_MAX))
        return false; /* the supervisor made them: they fit */
    process->store = store_open(durable, fleeting, conf->store_map_bytes, false, error, sizeof(error));
    if (process->store == NULL)
        process_log(LOG_STORE_NOT_OPENED, process->name, "the store cannot be opened: %s", error);
    if (process->store == NULL && !must_open)
        process->store = store_open_patiently(durable, fleeting, conf->store_map_bytes, false, 0, &closed,
                                              error, sizeof(error));
    /* Parts that are closed without damage, as for want of descriptors, may open for a successor. */
    if (process->store != NULL && (closed & ~store_damaged(process->store)) != 0)
        store_close(&process->store);
    if (process->store != NULL)
        store_set_known_damage(process->store, &shm_store_health(process->worker.context.shm)->damaged);
    return process->store != NULL;
}

static void log_of_blocks(bool readable, const char *sentence)
{
    process_log(readable ? LOG_BLOCKS_READ : LOG_BLOCKS_UNREAD, "worker", "%s", sentence);
}

/* From here on this process opens no file. Without the filter it still serves. */
static void restrict_system_calls(worker_process_t *process)
{
    char error[256];
    json_object_seed(0); /* otherwise the first object would read /dev/urandom for it */
    bool restricted = system_calls_restrict(error, sizeof(error));
    if (!restricted)
        process_log(LOG_SYSTEM_CALLS_OPEN, process->name, "its system calls are not filtered: %s", error);
    atomic_store(&process->slot->restricted, restricted);
}

static bool start(worker_process_t *process, const worker_args_t *args)
{
    static const channel_handlers_t handlers = {
        .message = on_message, .closed = on_supervisor_closed, .lost = on_lost};
    worker_t *worker = &process->worker;
    char error[512] = "";
    int fds[PROCESS_LISTENERS_MAX];

    if (!open_store(process, args->must_open))
        return false;
    remake_routes(process);
    worker->blocks = blocks_new(process->store, shm_epoch(worker->context.shm), log_of_blocks);
    worker->links = links_new(process->store, shm_epoch(worker->context.shm));
    worker->access =
        access_new(process->store, shm_epoch(worker->context.shm), shm_lockout(worker->context.shm));
    worker->context.linger_rates = linger_rates_new();
    worker->context.backlogs = backlogs_new(worker->context.loop);
    worker->context.farewells = farewells_new(&worker->context);
    if (args->pem_count > 0) {
        worker->context.tls = make_tls(process, args->pems, args->pem_count, error, sizeof(error));
        if (worker->context.tls == NULL) {
            process_log(LOG_NOT_STARTED, process->name, "%s", error);
            return false;
        }
    }
    worker->origin_tls = origin_tls_new(worker->context.conf, args->origin_pems, NULL, error, sizeof(error));
    if (worker->origin_tls == NULL) {
        process_log(LOG_NOT_STARTED, process->name, "%s", error);
        return false;
    }
    worker->context.origins = origin_pool_new(worker->context.loop, POOL_CONNECTIONS);
    origin_pool_set_account(worker->context.origins, &worker->context.memory.account);
    worker->context.http2_origins = http2_origins_new(&worker->context);
    worker->context.random = random_source_new();
    worker->wake_client = wake_client_new(worker);
    worker->activity = activity_new(worker, process->store);
    worker->refused = refused_new(worker);
    worker->keys = keys_new(process->store, shm_epoch(worker->context.shm));
    worker->upstream_queue = upstream_queue_new(worker);
    worker->context.slots = slots_new(&worker->context);
    worker->preview_client = preview_client_new(worker);
    worker->traffic = traffic_new(&worker->context);
    worker->tracing = tracing_new();
    worker->store = process->store;
    open_log(worker, args->access_log);
    process->supervisor = channel_new(worker->context.loop, args->supervisor_fd, &handlers, process);
    channel_use_reserve(process->supervisor);
    open_controller(process, args->controller_fd);
    api_limit_name_plans(worker);
    memcpy(fds, args->listen_fds, sizeof(fds[0]) * conf_worker_listeners(worker->context.conf));
    listeners_swap(&process->listeners, &worker->context, fds);
    process_facts_open(&process->facts, &process->slot->process);
    on_gauges(&process->gauges);
    restrict_system_calls(process);
    atomic_store(&process->slot->state, SHM_READY);
    shm_worker_show(worker->context.shm, worker->context.index);
    return channel_send(process->supervisor, PROCESS_READY, 0, STR(""), NULL, 0);
}

/* The node is unready from here on, until a start has checked the whole store. */
static void report_damage(worker_process_t *process)
{
    worker_t *worker = &process->worker;
    uint64_t damaged = store_damaged(worker->store);
    if (damaged == process->met_damage)
        return;
    process->met_damage = damaged;
    if (!store_health_report_pages(shm_store_health(worker->context.shm), damaged))
        return;
    shm_epoch_bump(worker->context.shm);
    process_log(LOG_STORE_DAMAGED, "worker", STORE_HEALTH_PAGES);
}

static void serve(worker_process_t *process)
{
    worker_t *worker = &process->worker;
    while (!process->ended) {
        loop_turn(worker->context.loop, PROCESS_HEARTBEAT_MS);
        uint64_t now = loop_now(worker->context.loop);
        atomic_store_explicit(&process->slot->heartbeat_ms, now, memory_order_relaxed);
        refresh_tickets(process);
        report_damage(process);
        if (blocks_changed(worker->blocks))
            tunnels_close_blocked(&worker->context);
        activity_turn(worker->activity, now);
        relief_turn(&worker->context);
        atomic_store_explicit(&process->slot->full, acceptor_is_full(&worker->context), memory_order_relaxed);
        if (worker->context.draining && list_is_empty(&worker->context.clients))
            end(process, 0);
    }
}

static void finish(worker_process_t *process)
{
    worker_t *worker = &process->worker;
    listeners_close(&process->listeners, false);
    farewells_free(&worker->context.farewells);
    clients_destroy(&worker->context);
    loop_timer_stop(&process->gauges);
    drain_fini(&process->drain);
    if (worker->context.origins != NULL)
        origin_pool_free(&worker->context.origins);
    http2_origins_free(&worker->context.http2_origins);
    backlogs_free(&worker->context.backlogs);
    wake_client_free(&worker->wake_client);
    activity_free(&worker->activity);
    refused_free(&worker->refused);
    upstream_queue_free(&worker->upstream_queue);
    slots_free(&worker->context.slots);
    preview_client_free(&worker->preview_client);
    keys_free(&worker->keys);
    traffic_free(&worker->traffic);
    tracing_free(&worker->tracing);
    access_log_free(&worker->log);
    channel_free(&process->controller);
    channel_free(&process->supervisor);
    tls_free(&worker->context.tls);
    origin_tls_release(&worker->origin_tls);
    routes_free(&worker->routes);
    access_free(&worker->access);
    links_free(&worker->links);
    linger_rates_free(&worker->context.linger_rates);
    blocks_free(&worker->blocks);
    if (process->store != NULL)
        store_close(&process->store);
    random_source_free(&worker->context.random);
    conf_release(&worker->context.conf);
    free(worker->context.scratch);
    loop_free(&worker->context.loop);
}

int worker_run(const worker_args_t *args)
{
    worker_process_t *process = calloc(1, sizeof(*process));
    assert(process != NULL);
    worker_t *worker = &process->worker;

    assert(args->conf->listener_count <= PROCESS_LISTENERS_MAX);
    process->index = args->index;
    snprintf(process->name, sizeof(process->name), "worker %u", args->index);
    process->slot = shm_worker(args->shm, args->number);
    worker->context.usable_descriptors = descriptors_keep_reserve();
    worker->context.index = args->number;
    worker->birth = process_birth(getpid());
    worker->context.conf = args->conf;
    worker->context.shm = args->shm;
    worker->context.counters = shm_counters(args->shm, args->number);
    flights_init(&process->flights, shm_flights(args->shm, args->number));
    worker->flights = &process->flights;
    worker->context.scratch = malloc(CONN_TURN_BYTES);
    assert(worker->context.scratch != NULL);
    account_root_init(&worker->context.memory, shm_shares(args->shm, args->number));
    worker->context.loop = loop_new();
    worker->context.pipeline = &edge_pipeline;
    list_init(&worker->context.clients);
    list_init(&worker->context.exchanges);
    listeners_init(&process->listeners);
    crash_set_detail(in_flight_write, &worker->context);
    if (start(process, args))
        serve(process);
    else
        process->status = 1;
    finish(process);
    int status = process->status;
    crash_set_detail(NULL, NULL);
    free(process);
    return status;
}
