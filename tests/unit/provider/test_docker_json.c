/* Answers of engines: the shapes of podman and Docker, and malformed ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "address.h"
#include "docker_json.h"
#include "docker_lines.h"

#define ID "13a2c3ba9e3cb1d6aa77af4186878d8f34b15017d9943c04fff438ff7b707623"

/* podman 4.3, cut to the relevant fields and some irrelevant ones. */
#define PODMAN(status, labels, networks)                                                                     \
    "{\"Id\":\"" ID                                                                                          \
    "\",\"Created\":\"2026-11-21T04:41:06.670753103Z\",\"Path\":\"/app\",\"Args\":[\"/app\"],"               \
    "\"State\":{\"Status\":\"" status "\",\"Running\":true,\"Paused\":false,\"Restarting\":false,"           \
    "\"OOMKilled\":false,\"Dead\":false,\"Pid\":24895,\"ExitCode\":0,\"Error\":\"\","                        \
    "\"StartedAt\":\"2026-11-21T04:41:06.792075337Z\",\"FinishedAt\":\"0001-01-01T00:00:00Z\","              \
    "\"Health\":{\"Status\":\"\",\"FailingStreak\":0,\"Log\":null}},\"Name\":\"/a\",\"RestartCount\":0,"     \
    "\"HostConfig\":{\"NetworkMode\":\"bridge\",\"Binds\":[]},\"Mounts\":[],"                                \
    "\"Config\":{\"Hostname\":\"13a2c3ba9e3c\",\"Env\":[\"TERM=xterm\"],\"Labels\":" labels "},"             \
    "\"NetworkSettings\":{\"Bridge\":\"\",\"IPAddress\":\"10.88.0.2\",\"Networks\":" networks "}}"

#define PODMAN_NETWORK                                                                                       \
    "{\"podman\":{\"IPAMConfig\":null,\"Links\":null,\"Aliases\":[\"13a2c3ba9e3c\"],"                        \
    "\"NetworkID\":\"podman\",\"EndpointID\":\"\",\"Gateway\":\"10.88.0.1\",\"IPAddress\":\"10.88.0.2\","    \
    "\"IPPrefixLen\":16,\"IPv6Gateway\":\"\",\"GlobalIPv6Address\":\"\",\"GlobalIPv6PrefixLen\":0,"          \
    "\"MacAddress\":\"ee:cf:49:80:5d:c7\",\"DriverOpts\":null}}"

#define BOX "{\"boxedge.id\":\"sweet-shark-26021\"}"

/* Docker: two networks, one of them with IPv6 only; a container that ended. */
static const char docker_answer[] =
    "{\"Id\":\"" ID "\",\"Created\":\"2026-03-02T10:00:00.5+01:00\",\"Path\":\"sh\",\"Args\":[],"
    "\"State\":{\"Status\":\"exited\",\"Running\":false,\"Paused\":false,\"Restarting\":false,"
    "\"OOMKilled\":false,\"Dead\":false,\"Pid\":0,\"ExitCode\":137,\"Error\":\"\","
    "\"StartedAt\":\"2026-03-02T09:00:01Z\",\"FinishedAt\":\"2026-03-02T09:05:00.123Z\"},"
    "\"Image\":\"sha256:016c\",\"Name\":\"/box\",\"Config\":{\"Labels\":{\"com.example\":\"1\","
    "\"boxedge.id\":\"b2\",\"boxedge.keep_alive\":\"1\",\"boxedge.idle\":\"30m\","
    "\"boxedge.init\":\"exec /app --port 3000\",\"boxedge.ports\":\" 3000, 5173 ,\","
    "\"boxedge.ephemeral\":\"true\",\"boxedge.expires_at\":\"1800000000\"}},"
    "\"NetworkSettings\":{\"Bridge\":\"\",\"Ports\":{},\"Networks\":{"
    "\"zoo\":{\"IPAddress\":\"172.20.0.9\",\"GlobalIPv6Address\":\"\"},"
    "\"backend\":{\"IPAddress\":\"\",\"GlobalIPv6Address\":\"fd00:1::9\"},"
    "\"a-none\":{\"IPAddress\":\"\",\"GlobalIPv6Address\":\"\"}}}}";

static docker_container_t seen;

static docker_read_t read_text(const char *text)
{
    docker_container_fini(&seen);
    return docker_read_container(str_from(text), "boxedge", 7000, &seen);
}

static const char *address_of(const docker_container_t *container)
{
    static char text[INET6_ADDRSTRLEN];
    (void)address_text(&container->box.address, text);
    return text;
}

static void podmans_containers_are_read(void **state)
{
    (void)state;
    assert_int_equal(read_text(PODMAN("running", BOX, PODMAN_NETWORK)), DOCKER_OK);
    assert_string_equal(seen.id, ID);
    assert_string_equal(seen.box.id, "sweet-shark-26021");
    assert_int_equal(seen.state, DOCKER_RUNNING);
    assert_int_equal(seen.box.state, BOX_RUNNING);
    assert_string_equal(address_of(&seen), "10.88.0.2");
    assert_true(IN6_IS_ADDR_V4MAPPED(&seen.box.address));
    assert_int_equal(seen.box.pid, 24895);
    assert_int_equal(seen.box.idle_ms, 7000);
    assert_false(seen.box.keep_alive);
    assert_false(seen.box.renewed);
    assert_int_equal(seen.box.port_count, 0);
    assert_null(seen.init);
    assert_null(seen.doubt);
    assert_true(seen.started_ns == docker_read_time(STR("2026-11-21T04:41:06.792075337Z")));
}

static void dockers_containers_are_read(void **state)
{
    (void)state;
    assert_int_equal(read_text(docker_answer), DOCKER_OK);
    assert_int_equal(seen.state, DOCKER_STOPPED);
    assert_int_equal(seen.box.state, BOX_PAUSED);
    assert_int_equal(seen.exit_code, 137);
    assert_int_equal(seen.box.pid, 0);
    assert_string_equal(address_of(&seen), "fd00:1::9"); /* "backend" comes before "zoo" */
    assert_true(seen.box.keep_alive);
    assert_int_equal(seen.box.idle_ms, 30 * 60 * 1000);
    assert_string_equal(seen.init, "exec /app --port 3000");
    assert_int_equal(seen.box.port_count, 2);
    assert_int_equal(seen.box.ports[0], 3000);
    assert_int_equal(seen.box.ports[1], 5173);
    assert_true(seen.box.ephemeral);
    assert_true(seen.box.expires_at == 1800000000);
    assert_null(seen.doubt);
    assert_true(seen.created_ns == docker_read_time(STR("2026-03-02T09:00:00.500Z")));
    docker_container_fini(&seen);
    docker_container_fini(&seen);
}

static void states_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        docker_state_t state;
        box_state_t box;
    } rows[] = {
        {PODMAN("running", BOX, "{}"), DOCKER_RUNNING, BOX_RUNNING},
        {PODMAN("paused", BOX, "{}"), DOCKER_PAUSED, BOX_PAUSED},
        {PODMAN("created", BOX, "{}"), DOCKER_STOPPED, BOX_PAUSED},
        {PODMAN("exited", BOX, "{}"), DOCKER_STOPPED, BOX_PAUSED},
        {PODMAN("stopped", BOX, "{}"), DOCKER_STOPPED, BOX_PAUSED},
        {PODMAN("stopping", BOX, "{}"), DOCKER_CHANGING, BOX_PAUSED},
        {PODMAN("restarting", BOX, "{}"), DOCKER_CHANGING, BOX_PAUSED},
        {PODMAN("", BOX, "{}"), DOCKER_CHANGING, BOX_PAUSED},
        {PODMAN("of a later engine", BOX, "{}"), DOCKER_CHANGING, BOX_PAUSED},
        {PODMAN("removing", BOX, "{}"), DOCKER_GONE, BOX_GONE},
        {PODMAN("dead", BOX, "{}"), DOCKER_GONE, BOX_GONE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(read_text(rows[i].json), DOCKER_OK);
        assert_int_equal(seen.state, rows[i].state);
        assert_int_equal(seen.box.state, rows[i].box);
    }
}

static void addresses_that_lead_nowhere_are_none(void **state)
{
    (void)state;
    static const char *const rows[] = {
        PODMAN("running", BOX, "{}"),
        PODMAN("running", BOX, "null"),
        PODMAN("running", BOX, "[1]"),
        PODMAN("running", BOX, "{\"n\":null}"),
        PODMAN("running", BOX, "{\"n\":{\"IPAddress\":7}}"),
        PODMAN("running", BOX, "{\"n\":{\"IPAddress\":\"0.0.0.0\"}}"),
        PODMAN("running", BOX, "{\"n\":{\"GlobalIPv6Address\":\"::\"}}"),
        PODMAN("running", BOX, "{\"n\":{\"IPAddress\":\"10.0.0.1/8\"}}"),
        PODMAN("running", BOX, "{\"n\":{\"IPAddress\":\"example.com\"}}"),
    };
    static const struct in6_addr nowhere;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(read_text(rows[i]), DOCKER_OK);
        assert_memory_equal(&seen.box.address, &nowhere, sizeof(nowhere));
    }
}

static void containers_without_a_box_id_are_no_boxes(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "null",
        "[]",
        "7",
        "{}",
        "{\"boxedge.id\":7}",
        "{\"boxedge.id\":\"\"}",
        "{\"boxedge.id\":\"A\"}",
        "{\"boxedge.id\":\"-a\"}",
        "{\"boxedge.id\":\"a/../b\"}",
        "{\"other.id\":\"a\"}",
        "{\"boxedge.id\":\"a23456789012345678901234567890123456789012345678901234567x\"}", /* 58 */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[4096];
        snprintf(text, sizeof(text), PODMAN("running", "%s", "{}"), rows[i]);
        assert_int_equal(read_text(text), DOCKER_NOT_A_BOX);
        assert_string_equal(seen.id, ID);
    }
    assert_int_equal(
        read_text(PODMAN("running",
                         "{\"boxedge.id\":\"a23456789012345678901234567890123456789012345678901234567\"}",
                         "{}")),
        DOCKER_OK);
}

static void what_is_no_container_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "{",
        "null",
        "[]",
        "7",
        "{}",
        "{\"Id\":7}",
        "{\"Id\":\"" ID "\"}",
        "{\"Id\":\"" ID "\",\"State\":\"running\",\"Config\":{\"Labels\":" BOX "}}",
        "{\"Id\":\"" ID "\",\"State\":{\"Status\":1},\"Config\":{\"Labels\":" BOX "}}",
        "{\"Id\":\"../../info\",\"State\":{\"Status\":\"running\"},\"Config\":{\"Labels\":" BOX "}}",
        "{\"Id\":\"" ID "0\",\"State\":{\"Status\":\"running\"},\"Config\":{\"Labels\":" BOX "}}",
        PODMAN("running", BOX, "{}") "x",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(read_text(rows[i]), DOCKER_MALFORMED);
    /* Every prefix of a good answer. */
    for (size_t n = 0; n < sizeof(docker_answer) - 1; n++) {
        docker_container_fini(&seen);
        assert_int_equal(docker_read_container(str_make(docker_answer, n), "boxedge", 0, &seen),
                         DOCKER_MALFORMED);
    }
}

/* A container whose labels have one more. */
static const char *with_label(const char *name, const char *value)
{
    static char text[2 * DOCKER_INIT_MAX];
    snprintf(text, sizeof(text), PODMAN("running", "{\"boxedge.id\":\"a\",\"boxedge.%s\":\"%s\"}", "{}"),
             name, value);
    return text;
}

static void doubtful_labels_open_nothing(void **state)
{
    (void)state;
    assert_int_equal(read_text(with_label("keep_alive", "yes")), DOCKER_OK);
    assert_true(seen.box.keep_alive);
    assert_non_null(seen.doubt);
    assert_int_equal(read_text(with_label("keep_alive", "false")), DOCKER_OK);
    assert_false(seen.box.keep_alive);
    assert_null(seen.doubt);
    assert_int_equal(read_text(with_label("keep_alive", "0")), DOCKER_OK);
    assert_false(seen.box.keep_alive);
    assert_int_equal(read_text(with_label("ephemeral", "perhaps")), DOCKER_OK);
    assert_true(seen.box.ephemeral);
    assert_non_null(seen.doubt);
    /* Values that are no port: none, rather than all, may be exposed. */
    static const char *const none[] = {"", ",", "x", "0", "65536", "-1", "http"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_int_equal(read_text(with_label("ports", none[i])), DOCKER_OK);
        assert_int_equal(seen.box.port_count, 1);
        assert_int_equal(seen.box.ports[0], 0);
    }
    assert_int_equal(read_text(with_label("ports", "x,65535")), DOCKER_OK);
    assert_int_equal(seen.box.port_count, 1);
    assert_int_equal(seen.box.ports[0], 65535);
    assert_non_null(seen.doubt);
    assert_int_equal(read_text(with_label("ports", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16")), DOCKER_OK);
    assert_int_equal(seen.box.port_count, 16);
    assert_null(seen.doubt);
    assert_int_equal(read_text(with_label("ports", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17")), DOCKER_OK);
    assert_int_equal(seen.box.port_count, 16);
    assert_non_null(seen.doubt);
}

static void idle_times_are_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t ms;
        bool doubt;
    } rows[] = {
        {"30m", 1800000, false}, {"never", 0, false},      {"0", 0, false},    {" 90s ", 90000, false},
        {"0s", 0, false},        {"soon", 7000, true},     {"30", 7000, true}, {"", 7000, true},
        {"-1s", 7000, true},     {"1000000h", 7000, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(read_text(with_label("idle", rows[i].text)), DOCKER_OK);
        assert_int_equal(seen.box.idle_ms, rows[i].ms);
        assert_int_equal(seen.doubt != NULL, rows[i].doubt);
    }
    assert_int_equal(read_text(with_label("expires_at", "tomorrow")), DOCKER_OK);
    assert_true(seen.box.expires_at == 0);
    assert_non_null(seen.doubt);
}

static void start_timeouts_are_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t ms;
        bool doubt;
    } rows[] = {{"90s", 90000, false}, {" 1h ", 3600000, false}, {"0s", 0, false},
                {"2h", 0, true},       {"soon", 0, true},        {"", 0, true}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(read_text(with_label("start_timeout", rows[i].text)), DOCKER_OK);
        assert_int_equal(seen.box.start_ms, rows[i].ms);
        assert_int_equal(seen.doubt != NULL, rows[i].doubt);
    }
}

static void init_has_a_bound(void **state)
{
    (void)state;
    char command[DOCKER_INIT_MAX + 2];
    memset(command, 'x', sizeof(command));
    command[DOCKER_INIT_MAX] = '\0';
    assert_int_equal(read_text(with_label("init", command)), DOCKER_OK);
    assert_int_equal(strlen(seen.init), DOCKER_INIT_MAX);
    command[DOCKER_INIT_MAX] = 'x';
    command[DOCKER_INIT_MAX + 1] = '\0';
    assert_int_equal(read_text(with_label("init", command)), DOCKER_OK);
    assert_null(seen.init);
    assert_non_null(seen.doubt);
}

static void other_prefixes_are_read(void **state)
{
    (void)state;
    docker_container_fini(&seen);
    assert_int_equal(docker_read_container(STR(PODMAN("running", "{\"x.id\":\"a\"}", "{}")), "x", 0, &seen),
                     DOCKER_OK);
    assert_int_equal(docker_read_container(STR(PODMAN("running", BOX, "{}")), "x", 0, &seen),
                     DOCKER_NOT_A_BOX);
    char longest[4096];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(docker_read_container(STR(PODMAN("running", BOX, "{}")), longest, 0, &seen),
                     DOCKER_NOT_A_BOX);
}

static void times_are_read(void **state)
{
    (void)state;
    assert_true(docker_read_time(STR("1970-01-01T00:00:01Z")) == 1000000000);
    assert_true(docker_read_time(STR("1970-01-01T01:00:01+01:00")) == 1000000000);
    assert_true(docker_read_time(STR("1970-01-01T00:00:00.5-00:30")) == 1800500000000);
    assert_true(docker_read_time(STR("1970-01-01T00:00:01.123456789Z")) == 1123456789);
    assert_true(docker_read_time(STR("2000-02-29T12:00:00Z")) == 951825600000000000);
    static const char *const none[] = {
        "",
        "0001-01-01T00:00:00Z",
        "1970-01-01",
        "1970-01-01T00:00:01",
        "1970-01-01T00:00:01.Z",
        "1970-01-01T00:00:01.1234567890Z",
        "1970-13-01T00:00:01Z",
        "1970-01-01T24:00:01Z",
        "1970-01-01T00:00:01Zx",
        "1970-01-01T00:00:01+0100",
        "9999-01-01T00:00:00Z",
        "-970-01-01T00:00:01Z",
    };
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_true(docker_read_time(str_from(none[i])) == 0);
}

typedef struct listed {
    size_t count;
    char last[DOCKER_ID_MAX + 1];
} listed_t;

static void on_listed(void *owner, const char *id)
{
    listed_t *listed = owner;
    listed->count++;
    memcpy(listed->last, id, strlen(id) + 1);
}

static bool list(const char *text, listed_t *listed)
{
    *listed = (listed_t){.count = 0};
    return docker_read_list(str_from(text), on_listed, listed);
}

static void listings_are_whole_or_refused(void **state)
{
    (void)state;
    listed_t listed;
    assert_true(list("[]", &listed));
    assert_int_equal(listed.count, 0);
    assert_true(list("[{\"Id\":\"" ID
                     "\",\"Names\":[\"/a\"],\"Labels\":{\"boxedge.id\":\"a\"},\"State\":\"paused\"},"
                     "{\"Id\":\"0123456789ab\",\"Names\":null,\"Ports\":[],\"State\":\"running\"}]",
                     &listed));
    assert_int_equal(listed.count, 2);
    assert_string_equal(listed.last, "0123456789ab");
    static const char *const none[] = {
        "",
        "null",
        "{}",
        "[7]",
        "[null]",
        "[{}]",
        "[{\"Id\":\"" ID "\"},{}]",
        "[{\"Id\":\"" ID "\"},{\"Id\":\"x/y\"}]",
        "[{\"Id\":\"" ID "\"}",
        "{\"message\":\"no\"}",
    };
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_false(list(none[i], &listed));
        assert_int_equal(listed.count, 0);
    }
}

static docker_event_t event;

static bool read_event(const char *text)
{
    return docker_read_event(str_from(text), "boxedge", &event);
}

static void events_name_their_container(void **state)
{
    (void)state;
    assert_true(read_event("{\"status\":\"pause\",\"id\":\"" ID "\",\"from\":\"localhost/box:1\","
                           "\"Type\":\"container\",\"Action\":\"pause\",\"Actor\":{\"ID\":\"" ID "\","
                           "\"Attributes\":{\"boxedge.id\":\"a\",\"containerExitCode\":\"0\",\"image\":\"b\","
                           "\"name\":\"a\",\"podId\":\"\"}},\"scope\":\"local\",\"time\":1795236783,"
                           "\"timeNano\":1795236783227780183}"));
    assert_string_equal(event.container, ID);
    assert_true(event.labelled);
    assert_false(event.passing);
    assert_true(read_event("{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"" ID "\","
                           "\"Attributes\":{\"image\":\"b\"}}}"));
    assert_string_equal(event.container, ID);
    assert_false(event.labelled);
    assert_true(read_event("{\"Type\":\"container\",\"Action\":\"exec_create: /bin/sh -c true\",\"Actor\":"
                           "{\"ID\":\"" ID "\",\"Attributes\":{}}}"));
    assert_true(event.passing);
    assert_true(read_event(
        "{\"Type\":\"container\",\"Action\":\"health_status: healthy\",\"Actor\":{\"ID\":\"" ID "\"}}"));
    assert_true(event.passing);
    assert_true(
        read_event("{\"Type\":\"network\",\"Action\":\"disconnect\",\"Actor\":{\"ID\":\"0e5a35dbcac1\","
                   "\"Attributes\":{\"container\":\"" ID "\",\"name\":\"bridge\",\"type\":\"bridge\"}}}"));
    assert_string_equal(event.container, ID);
    assert_false(event.passing);
}

static void other_events_name_none(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{}",
        "{\"Type\":\"image\",\"Action\":\"pull\",\"Actor\":{\"ID\":\"" ID "\"}}",
        "{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"../x\"}}",
        "{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":7}",
        "{\"Type\":\"network\",\"Action\":\"connect\",\"Actor\":{\"Attributes\":{\"container\":7}}}",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(read_event(rows[i]));
        assert_string_equal(event.container, "");
    }
    assert_false(read_event(""));
    assert_false(read_event("[]"));
    assert_false(read_event("{\"Type\":"));
}

static void execs_and_messages_are_cut_and_checked(void **state)
{
    (void)state;
    char exec[DOCKER_EXEC_MAX + 1], message[DOCKER_MESSAGE_MAX + 1];
    assert_true(docker_read_exec(STR("{\"Id\":\"" ID "\"}"), exec));
    assert_string_equal(exec, ID);
    assert_true(docker_read_exec(STR("{\"Id\":\"" ID ID "\"}"), exec));
    assert_false(docker_read_exec(STR("{\"Id\":\"" ID ID "0\"}"), exec));
    assert_string_equal(exec, "");
    assert_false(docker_read_exec(STR("{\"Id\":\"a/b\"}"), exec));
    assert_false(docker_read_exec(STR("{\"Id\":\"\"}"), exec));
    assert_false(docker_read_exec(STR("{}"), exec));
    assert_false(docker_read_exec(STR(""), exec));
    docker_read_message(STR("{\"cause\":\"x\",\"message\":\"no\\n\\u001b[1mü\",\"response\":500}"), message);
    assert_string_equal(message, "no??[1m??");
    docker_read_message(STR("not JSON"), message);
    assert_string_equal(message, "");
    char text[DOCKER_MESSAGE_MAX + 40];
    int n = snprintf(text, sizeof(text), "{\"message\":\"%0*d\"}", DOCKER_MESSAGE_MAX + 1, 7);
    docker_read_message(str_make(text, (size_t)n), message);
    assert_int_equal(strlen(message), DOCKER_MESSAGE_MAX);
}

/* ---- lines ---- */

typedef struct lines_seen {
    unsigned count;
    size_t last_len;
    char last[64];
} lines_seen_t;

static void on_line(void *owner, str_t text)
{
    lines_seen_t *lines = owner;
    lines->count++;
    lines->last_len = text.n;
    snprintf(lines->last, sizeof(lines->last), "%.*s", STR_ARG(text));
}

static void lines_come_in_any_pieces(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":1}\r\n\n\r\n{\"b\":22}\n{\"half";
    for (size_t piece = 1; piece < sizeof(text); piece++) {
        docker_lines_t *lines = docker_lines_new();
        lines_seen_t got = {.count = 0};
        for (size_t at = 0; at < sizeof(text) - 1; at += piece) {
            size_t left = sizeof(text) - 1 - at;
            assert_true(
                docker_lines_feed(lines, str_make(text + at, left < piece ? left : piece), on_line, &got));
        }
        assert_int_equal(got.count, 2);
        assert_string_equal(got.last, "{\"b\":22}");
        docker_lines_reset(lines); /* another stream: the half line is forgotten */
        assert_true(docker_lines_feed(lines, STR("{\"c\":3}\n"), on_line, &got));
        assert_string_equal(got.last, "{\"c\":3}");
        docker_lines_free(&lines);
        assert_null(lines);
    }
}

static void long_lines_are_left_out(void **state)
{
    (void)state;
    docker_lines_t *lines = docker_lines_new();
    lines_seen_t got = {.count = 0};
    char *text = malloc(DOCKER_LINE_MAX + 1);
    memset(text, 'x', DOCKER_LINE_MAX + 1);
    assert_true(docker_lines_feed(lines, str_make(text, DOCKER_LINE_MAX), on_line, &got));
    assert_true(docker_lines_feed(lines, STR("\n"), on_line, &got));
    assert_int_equal(got.count, 1);
    assert_int_equal(got.last_len, DOCKER_LINE_MAX);
    assert_false(docker_lines_feed(lines, str_make(text, DOCKER_LINE_MAX + 1), on_line, &got));
    assert_true(docker_lines_feed(lines, str_make(text, DOCKER_LINE_MAX), on_line, &got)); /* reported once */
    assert_true(docker_lines_feed(lines, STR("rest\nnext\n"), on_line, &got));
    assert_int_equal(got.count, 2);
    assert_string_equal(got.last, "next");
    free(text);
    docker_lines_free(&lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(podmans_containers_are_read),
        cmocka_unit_test(dockers_containers_are_read),
        cmocka_unit_test(states_are_told_apart),
        cmocka_unit_test(addresses_that_lead_nowhere_are_none),
        cmocka_unit_test(containers_without_a_box_id_are_no_boxes),
        cmocka_unit_test(what_is_no_container_is_refused),
        cmocka_unit_test(doubtful_labels_open_nothing),
        cmocka_unit_test(idle_times_are_durations),
        cmocka_unit_test(start_timeouts_are_durations),
        cmocka_unit_test(init_has_a_bound),
        cmocka_unit_test(other_prefixes_are_read),
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(listings_are_whole_or_refused),
        cmocka_unit_test(events_name_their_container),
        cmocka_unit_test(other_events_name_none),
        cmocka_unit_test(execs_and_messages_are_cut_and_checked),
        cmocka_unit_test(lines_come_in_any_pieces),
        cmocka_unit_test(long_lines_are_left_out),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    docker_container_fini(&seen);
    return failed;
}
