/*
 * The messages of the edge's own log. Each has a code, which stays the same from release to release, and a
 * level. docs/messages.md is made of this table (tests/unit/os/test_messages.c).
 *
 * error: something fails for somebody, or will soon, and stays so until a person acts or a process is
 * replaced. warning: the edge copes, and a person should look. notice: a change that matters, as intended.
 * info: progress.
 */
#ifndef BOXEDGE_LOG_CODES_H
#define BOXEDGE_LOG_CODES_H

/* X(symbol, code, level, meaning) */
#define LOG_CODES_EDGE(X)                                                                                    \
    X(READY, "ready", NOTICE, "The edge serves.")                                                            \
    X(ENDED, "ended", NOTICE, "The edge has ended.")                                                         \
    X(NOT_STARTED, "not_started", ERROR,                                                                     \
      "The edge, or one of its processes, cannot start. Lines before "                                       \
      "it have the reason.")                                                                                 \
    X(CONF_ERROR, "conf_error", ERROR, "The configuration has this error and is refused.")                   \
    X(CONF_WARNING, "conf_warning", WARNING, "The configuration is in use, and has this flaw.")              \
    X(RELOAD_DONE, "reload_done", NOTICE, "All processes use the new configuration.")                        \
    X(RELOAD_REFUSED, "reload_refused", ERROR,                                                               \
      "The new configuration is not in use. Correct the errors of "                                          \
      "the lines before it, and reload again.")                                                              \
    X(CERTIFICATES_DONE, "certificates_done", NOTICE, "New connections get the new certificates.")           \
    X(CERTIFICATES_REFUSED, "certificates_refused", ERROR,                                                   \
      "The new files of certificates cannot be used; "                                                       \
      "the old ones expire. Repair the files.")                                                              \
    X(CERTIFICATES_WAIT, "certificates_wait", WARNING, "New certificates wait for the next reload.")         \
    X(LOCAL_AUTHORITY, "local_authority", NOTICE,                                                            \
      "The edge made its certificates itself; how to trust "                                                 \
      "them.")                                                                                               \
    X(TICKET_KEYS_KEPT, "ticket_keys_kept", WARNING, "Keys of TLS tickets were not renewed.")                \
    X(SHARED_MEMORY_NEW, "shared_memory_new", NOTICE,                                                        \
      "After an upgrade, counters start anew, and tables of limits that the message names.")                 \
    X(SHARED_MEMORY_APART, "shared_memory_apart", WARNING,                                                   \
      "The new binary shares no memory with the old one, whose WebSockets end.")                             \
    X(DESCRIPTORS_FEW, "descriptors_few", WARNING,                                                           \
      "The limit of descriptors allows fewer connections than "                                              \
      "`limits.connections`.")                                                                               \
    X(DRAIN_LEAVING, "drain_leaving", NOTICE, "The edge reports that it is not ready, and drains later.")    \
    X(DRAIN_STARTED, "drain_started", NOTICE, "The edge ends: it takes no more requests.")                   \
    X(DRAIN_TUNNELS, "drain_tunnels", NOTICE, "Open WebSockets of an old edge get a time limit.")            \
    X(DRAIN_CUT, "drain_cut", WARNING, "A second signal ended open requests.")                               \
    X(ACCESS_LOG_OPENED, "access_log_opened", INFO, "SIGUSR1: the access log goes to the new file.")         \
    X(ACCESS_LOG_FAILED, "access_log_failed", ERROR, "SIGUSR1: the access log still goes to the old file.")  \
    X(ACCESS_LINES_LOST, "access_lines_lost", WARNING,                                                       \
      "The destination of the access log does not take the lines of this worker, or not as fast as they "    \
      "come; `boxedge_log_drops_total` counts them. Once for each destination.")                             \
    X(CRASH, "crash", ERROR, "Last words of a process that crashes. Send them with a report.")               \
    X(MESSAGES_LOST, "messages_lost", WARNING,                                                               \
      "The reader of stderr stalled, and messages before this one "                                          \
      "are missing.")                                                                                        \
    X(OTHER_OUTPUT, "other_output", ERROR,                                                                   \
      "Text on stderr that is no message: of a library, or a "                                               \
      "sanitizer.")

#define LOG_CODES_PROCESSES(X)                                                                               \
    X(PROCESS_DIED, "process_died", ERROR,                                                                   \
      "A process ended unexpectedly; its requests failed. The edge "                                         \
      "starts another.")                                                                                     \
    X(REQUESTS_LOST, "requests_lost", ERROR,                                                                 \
      "A dead process had requests in flight; the access log has those that it names, with `worker_died`.")  \
    X(PROCESS_BACK, "process_back", NOTICE, "Another process is in its place.")                              \
    X(PROCESS_DIES_OFTEN, "process_dies_often", ERROR, "The next start waits.")                              \
    X(PROCESS_NOT_STARTED, "process_not_started", ERROR,                                                     \
      "The system lacks memory or processes. The edge "                                                      \
      "tries again.")                                                                                        \
    X(PROCESS_HUNG, "process_hung", ERROR,                                                                   \
      "A process did nothing for `timeouts.heartbeat`; the edge "                                            \
      "replaces it.")                                                                                        \
    X(PROCESS_LATE, "process_late", WARNING, "A process had open work at the end of `timeouts.drain`.")      \
    X(PROCESS_MUTE, "process_mute", WARNING, "A process reads no messages.")                                 \
    X(PROCESS_FAULTY, "process_faulty", ERROR, "A process sent nonsense; the edge replaces it.")             \
    X(PROCESSES_APART, "processes_apart", ERROR,                                                             \
      "Two processes cannot be joined: boxes do not wake until "                                             \
      "one of them restarts.")                                                                               \
    X(RIGHTS_KEPT, "rights_kept", ERROR, "A process cannot give up its rights, and ends.")                   \
    X(SYSTEM_CALLS_OPEN, "system_calls_open", WARNING,                                                       \
      "A worker serves without its filter of system "                                                        \
      "calls.")                                                                                              \
    X(SUPERVISOR_GONE, "supervisor_gone", ERROR, "The supervisor died; its processes end.")                  \
    X(CONF_NOT_TAKEN, "conf_not_taken", ERROR,                                                               \
      "A process cannot use the new configuration; the edge "                                                \
      "replaces it.")                                                                                        \
    X(MESSAGE_LOST, "message_lost", WARNING,                                                                 \
      "A message between processes was lost for lack of "                                                    \
      "descriptors.")                                                                                        \
    X(DESCRIPTORS_OUT, "descriptors_out", ERROR,                                                             \
      "Requests get 503. Raise `LimitNOFILE`, or lower "                                                     \
      "`limits.connections`.")                                                                               \
    X(MEMORY_SHORT, "memory_short", ERROR,                                                                   \
      "Clients and boxes over their share get 503. Raise "                                                   \
      "`limits.memory`, or find the attacker.")                                                              \
    X(MEMORY_ENOUGH, "memory_enough", NOTICE, "Memory is no longer short.")                                  \
    X(CLOCK_JUMPED, "clock_jumped", WARNING, "The wall clock jumped.")

#define LOG_CODES_UPGRADE(X)                                                                                 \
    X(UPGRADE_STARTED, "upgrade_started", NOTICE, "A new binary starts.")                                    \
    X(UPGRADE_REFUSED, "upgrade_refused", WARNING, "No new binary starts now.")                              \
    X(UPGRADE_FAILED, "upgrade_failed", ERROR, "The new binary did not take over; the old one serves.")      \
    X(UPGRADE_TAKES_OVER, "upgrade_takes_over", NOTICE, "The new binary has begun.")                         \
    X(UPGRADE_DONE, "upgrade_done", NOTICE, "The new binary serves.")                                        \
    X(UPGRADE_APART, "upgrade_apart", WARNING, "The new binary is too different to keep open WebSockets.")   \
    X(UPGRADE_SOCKET_LOST, "upgrade_socket_lost", WARNING, "The new binary opens this socket anew.")         \
    X(UPGRADE_MUTE, "upgrade_mute", WARNING, "An edge takes no message of the other one.")                   \
    X(UPGRADE_DIED, "upgrade_died", ERROR, "The new binary died; systemd is asked for another.")             \
    X(UPGRADE_OLD_ENDED, "upgrade_old_ended", NOTICE, "The previous supervisor has ended.")                  \
    X(UPGRADE_OLD_KILLED, "upgrade_old_killed", WARNING,                                                     \
      "Old edges had open WebSockets at the end of "                                                         \
      "their time.")                                                                                         \
    X(UPGRADE_OLD_LOG, "upgrade_old_log", WARNING, "An old edge writes its access log to the old file.")     \
    X(BOXES_NOT_GIVEN, "boxes_not_given", ERROR, "Process boxes end with the old edge.")

#define LOG_CODES_STORE(X)                                                                                   \
    X(STORE_DAMAGED, "store_damaged", ERROR, "See docs/operations.md, \"The store\".")                       \
    X(STORE_NOT_OPENED, "store_not_opened", ERROR, "A process cannot open the store, or a part of it.")      \
    X(STORE_NOT_CHECKED, "store_not_checked", WARNING, "A check of the store is not complete.")              \
    X(STORE_CHECKING, "store_checking", INFO, "Progress of the check.")                                      \
    X(STORE_BOXES_NEW, "store_boxes_new", NOTICE, "Providers report every box again.")                       \
    X(STORE_STUCK, "store_stuck", ERROR, "Changes fail: a full disk, or `store.map_bytes`.")                 \
    X(STORE_FREE, "store_free", NOTICE, "The store takes changes again.")                                    \
    X(STORE_CHANGE_FAILED, "store_change_failed", ERROR, "One change is not on disk.")                       \
    X(STORE_UNMARKED, "store_unmarked", WARNING, "A store that is removed would count as a new one.")        \
    X(STORE_READERS_FREED, "store_readers_freed", INFO, "Slots of killed readers are free.")                 \
    X(BLOCKS_UNREAD, "blocks_unread", ERROR, "Changes of blocks have no effect.")                            \
    X(BLOCKS_READ, "blocks_read", NOTICE, "The list of blocks can be read again.")                           \
    X(COOKIE_KEYS_NEW, "cookie_keys_new", WARNING, "Every session of a browser has ended.")

#define LOG_CODES_BOXES(X)                                                                                   \
    X(BOXES_TOO_MANY, "boxes_too_many", ERROR, "Further boxes do not exist for the edge.")                   \
    X(BOX_REFUSED, "box_refused", WARNING, "The edge never connects to this address of a box.")              \
    X(BOX_ADDRESS_SHARED, "box_address_shared", WARNING, "Two boxes have one address.")                      \
    X(BOX_GONE, "box_gone", NOTICE, "A box does not come back; its previews are deleted.")                   \
    X(BOX_DELETED, "box_deleted", NOTICE, "The API deleted a box, and the edge its previews.")               \
    X(BOX_INIT_MUTE, "box_init_mute", WARNING, "The first process of a process box reads no messages.")      \
    X(ORPHANS_UNSEEN, "orphans_unseen", WARNING, "Processes of killed boxes would not be found.")            \
    X(ENGINE_LOST, "engine_lost", ERROR, "Boxes of the container engine do not wake.")                       \
    X(ENGINE_BACK, "engine_back", NOTICE, "The container engine answers again.")                             \
    X(ENGINE_REFUSED, "engine_refused", ERROR, "The engine refused to start or resume a box.")               \
    X(ENGINE_DOUBT, "engine_doubt", WARNING, "A container is left out, or used with doubts.")                \
    X(CONTROL_PLANE_TOKEN, "control_plane_token", ERROR, "The token's file cannot be read.")                 \
    X(CONTROL_PLANE_FAILED, "control_plane_failed", ERROR, "A call of the control plane failed.")            \
    X(CONTROL_PLANE_FAULTY, "control_plane_faulty", WARNING, "An answer breaks docs/control-plane.yaml.")    \
    X(CONTROL_PLANE_PAUSED, "control_plane_paused", ERROR, "Boxes of the control plane do not wake.")        \
    X(CONTROL_PLANE_BACK, "control_plane_back", NOTICE, "The control plane answers again.")

#define LOG_CODES_TRAFFIC(X)                                                                                 \
    X(HTTP_FAULT, "http_fault", WARNING, "A client or an app breaks HTTP; the sentence quotes the byte.")    \
    X(SERVER_DOWN, "server_down", WARNING, "Health checks of a server of an upstream failed.")               \
    X(SERVER_UP, "server_up", NOTICE, "The server answers again.")                                           \
    X(SERVER_DRAINED, "server_drained", NOTICE, "A person drained a server, or took it back.")               \
    X(SERVER_EXCLUDED, "server_excluded", WARNING, "The edge never connects to this address of a server.")   \
    X(SERVER_TLS_FAILED, "server_tls_failed", ERROR, "Requests to this server get 502.")                     \
    X(HEALTH_BLIND, "health_blind", WARNING, "Servers stay as they are, because checks cannot run.")         \
    X(HEALTH_SEES, "health_sees", NOTICE, "Checks run again.")                                               \
    X(NAME_FAILED, "name_failed", WARNING, "A server's name cannot be resolved.")                            \
    X(NAME_FOUND, "name_found", NOTICE, "The name can be resolved again.")                                   \
    X(TRACES_FAILED, "traces_failed", WARNING, "The receiver of traces does not take them: they are lost.")  \
    X(TRACES_BACK, "traces_back", NOTICE, "The receiver takes traces again.")                                \
    X(DELETIONS_UNKNOWN, "deletions_unknown", WARNING, "Previews of boxes that the API deleted may stay.")   \
    X(DELETIONS_KNOWN, "deletions_known", NOTICE, "The API tells of deleted boxes again.")                   \
    X(DELETION_UNREPORTED, "deletion_unreported", WARNING, "The result of a deletion is not known.")

#define LOG_CODES_ADMIN(X)                                                                                   \
    X(ADMIN_CROWDED, "admin_crowded", WARNING, "Some client floods the admin socket.")                       \
    X(METRICS_CROWDED, "metrics_crowded", WARNING, "Some client floods a listener of kind `metrics`.")       \
    X(METRICS_LISTENER_FILES, "metrics_listener_files", ERROR,                                               \
      "A listener of kind `metrics` cannot use its files: it refuses requests, or uses the old ones.")       \
    X(RELOAD_REQUESTED, "reload_requested", NOTICE, "By whom.")                                              \
    X(DRAIN_REQUESTED, "drain_requested", NOTICE, "By whom.")                                                \
    X(UPGRADE_REQUESTED, "upgrade_requested", NOTICE, "By whom.")                                            \
    X(BOX_REQUESTED, "box_requested", NOTICE, "A person starts or stops a process box.")                     \
    X(BLOCK_CHANGED, "block_changed", NOTICE, "What is blocked or unblocked, and by whom.")                  \
    X(PREVIEW_CHANGED, "preview_changed", NOTICE, "What changed, and by whom.")                              \
    X(PREVIEW_NOT_MADE, "preview_not_made", ERROR,                                                           \
      "A preview that the configuration declares does not exist. The next reload tries again.")              \
    X(PREVIEW_DIFFERS, "preview_differs", WARNING,                                                           \
      "A declared preview exists with other credentials. The edge never changes them by itself.")            \
    X(REQUEST_KILLED, "request_killed", NOTICE, "A person ended a request.")                                 \
    X(KEY_CHANGED, "key_changed", NOTICE, "What changed, and by whom.")

#define LOG_CODES(X)                                                                                         \
    LOG_CODES_EDGE(X)                                                                                        \
    LOG_CODES_PROCESSES(X)                                                                                   \
    LOG_CODES_UPGRADE(X)                                                                                     \
    LOG_CODES_STORE(X)                                                                                       \
    LOG_CODES_BOXES(X)                                                                                       \
    LOG_CODES_TRAFFIC(X)                                                                                     \
    LOG_CODES_ADMIN(X)

typedef enum log_code {
#define X(symbol, code, level, meaning) LOG_##symbol,
    LOG_CODES(X)
#undef X
} log_code_t;

/* With the numbers of syslog (RFC 5424, 6.2.1). */
typedef enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6,
} log_level_t;

#endif
