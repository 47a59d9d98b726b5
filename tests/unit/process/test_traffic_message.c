/* Questions of the controller about the requests of workers, and the answers. */
#include "traffic_message.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void questions(void **state)
{
    (void)state;
    char bytes[TRAFFIC_QUESTION_BYTES];
    traffic_question_t in = {.op = TRAFFIC_LIST, .limit = TRAFFIC_ROWS_MAX, .older_than_us = UINT64_MAX}, out;
    memset(in.box, 'b', BOX_ID_MAX);
    memset(in.state, 's', TRAFFIC_WORD_MAX);
    memset(in.request_id, 'r', TRAFFIC_ID_MAX);
    memset(in.find, 'f', TRAFFIC_PATH_MAX);
    size_t n = traffic_question_write(&in, bytes);
    assert_int_equal(n, TRAFFIC_QUESTION_BYTES);
    assert_true(traffic_question_read(str_make(bytes, n), &out));
    assert_int_equal(out.op, TRAFFIC_LIST);
    assert_int_equal(out.limit, TRAFFIC_ROWS_MAX);
    assert_true(out.older_than_us == UINT64_MAX);
    assert_string_equal(out.box, in.box);
    assert_string_equal(out.state, in.state);
    assert_string_equal(out.request_id, in.request_id);
    assert_string_equal(out.find, in.find);
    for (size_t i = 0; i < n; i++)
        assert_false(traffic_question_read(str_make(bytes, i), &out));
}

static void no_questions(void **state)
{
    (void)state;
    char bytes[TRAFFIC_QUESTION_BYTES];
    traffic_question_t kill = {.op = TRAFFIC_KILL}, out;
    size_t n = traffic_question_write(&kill, bytes);
    assert_false(traffic_question_read(str_make(bytes, n), &out)); /* of no request */
    kill.request_id[0] = 'x';
    n = traffic_question_write(&kill, bytes);
    assert_true(traffic_question_read(str_make(bytes, n), &out));
    bytes[0] = 99; /* a newer edge's */
    assert_false(traffic_question_read(str_make(bytes, n), &out));
    bytes[0] = TRAFFIC_LIST;
    memset(bytes + 1, 0xff, 8); /* more rows than there may be */
    assert_false(traffic_question_read(str_make(bytes, n), &out));
}

/* Lines of any bytes, one after the other. */
static void access_lines(void **state)
{
    (void)state;
    char bytes[TRAFFIC_LINE_BYTES + 16], longest[TRAFFIC_LINE_MAX];
    memset(longest, '\xff', sizeof(longest));
    size_t n = traffic_line_write(str_make(longest, sizeof(longest)), bytes);
    assert_int_equal(n, TRAFFIC_LINE_BYTES);
    n += traffic_line_write(STR("{}"), bytes + n);
    str_t rest = str_make(bytes, n), line;
    assert_true(traffic_line_read(&rest, &line));
    assert_true(str_eq(line, str_make(longest, sizeof(longest))));
    assert_true(traffic_line_read(&rest, &line) && str_eq(line, STR("{}")) && rest.n == 0);
    assert_false(traffic_line_read(&rest, &line));
    for (size_t i = 0; i < TRAFFIC_LINE_BYTES; i++) {
        rest = str_make(bytes, i);
        assert_false(traffic_line_read(&rest, &line));
    }
    memset(bytes, 0xff, 2); /* longer than a line may be */
    rest = str_make(bytes, sizeof(bytes));
    assert_false(traffic_line_read(&rest, &line));
}

static str_t long_text(char out[400], char c)
{
    memset(out, c, 400);
    return str_make(out, 400);
}

/* The longest row fits, and longer texts are cut. */
static void the_longest_row(void **state)
{
    (void)state;
    char bytes[TRAFFIC_REQUEST_BYTES], text[400];
    str_t all = long_text(text, 'x');
    traffic_request_t in = {.id = all,
                            .state = all,
                            .kind = all,
                            .http = all,
                            .client = all,
                            .method = all,
                            .host = all,
                            .path = all,
                            .box = all,
                            .key = all,
                            .upstream = all,
                            .origin = all,
                            .port = UINT16_MAX,
                            .age_us = UINT64_MAX,
                            .request_bytes = 1,
                            .response_bytes = UINT64_MAX - 1},
                      out;
    size_t n = traffic_request_write(&in, bytes);
    assert_int_equal(n, TRAFFIC_REQUEST_BYTES);
    str_t rest = str_make(bytes, n);
    assert_true(traffic_request_read(&rest, &out));
    assert_int_equal(rest.n, 0);
    assert_int_equal(out.id.n, TRAFFIC_ID_MAX);
    assert_int_equal(out.method.n, TRAFFIC_WORD_MAX);
    assert_int_equal(out.path.n, TRAFFIC_PATH_MAX);
    assert_int_equal(out.origin.n, TRAFFIC_PLACE_MAX);
    assert_int_equal(out.port, UINT16_MAX);
    assert_true(out.age_us == UINT64_MAX && out.request_bytes == 1 && out.response_bytes == UINT64_MAX - 1);
    for (size_t i = 0; i < n; i++) {
        rest = str_make(bytes, i);
        assert_false(traffic_request_read(&rest, &out));
    }
}

/* A terminal shows the texts. */
static void nothing_for_a_terminal(void **state)
{
    (void)state;
    char bytes[TRAFFIC_REQUEST_BYTES];
    traffic_request_t in = {.path = STR("/\x1b[2J\xc3\xa4 b")}, out;
    size_t n = traffic_request_write(&in, bytes);
    str_t rest = str_make(bytes, n);
    assert_true(traffic_request_read(&rest, &out));
    assert_true(str_eq(out.path, STR("/?[2J???b")));
    char *escape = memchr(bytes, '[', n);
    escape[-1] = '\x1b'; /* of a worker that was taken over */
    rest = str_make(bytes, n);
    assert_false(traffic_request_read(&rest, &out));
}

/* The longest row of figures fits. */
static void the_longest_figures(void **state)
{
    (void)state;
    char bytes[TRAFFIC_ROW_BYTES], text[400];
    traffic_row_t in = {.name = long_text(text, 'n'), .full = true, .window_us = UINT64_MAX, .open = 1}, out;
    memset(&in.figures, 0xff, sizeof(in.figures));
    size_t n = traffic_row_write(&in, bytes);
    assert_int_equal(n, TRAFFIC_ROW_BYTES);
    str_t rest = str_make(bytes, n);
    assert_true(traffic_row_read(&rest, &out));
    assert_int_equal(rest.n, 0);
    assert_int_equal(out.name.n, TRAFFIC_PLACE_MAX);
    assert_true(out.full && !out.approximate && out.window_us == UINT64_MAX && out.open == 1);
    assert_memory_equal(&out.figures, &in.figures, sizeof(in.figures));
    for (size_t i = 0; i < n; i++) {
        rest = str_make(bytes, i);
        assert_false(traffic_row_read(&rest, &out));
    }
    bytes[n - 5] = TRAFFIC_LATENCIES; /* no such bucket */
    rest = str_make(bytes, n);
    assert_false(traffic_row_read(&rest, &out));
}

static void durations(void **state)
{
    (void)state;
    traffic_figures_t figures = {.requests = 0};
    assert_int_equal(traffic_latency_bucket(0), 0);
    assert_int_equal(traffic_latency_bucket(767), 0);
    assert_int_equal(traffic_latency_bucket(768), 1);
    assert_int_equal(traffic_latency_bucket(UINT64_MAX), TRAFFIC_LATENCIES - 1);
    unsigned before = 0;
    for (uint64_t us = 0; us < 40000000; us += us / 64 + 1) {
        unsigned bucket = traffic_latency_bucket(us);
        assert_true(bucket == before || bucket == before + 1);
        before = bucket;
        /* Of a thousand equal durations, each percentile is off by less than half. */
        figures = (traffic_figures_t){.requests = 1000};
        figures.latencies[bucket] = 1000;
        assert_int_equal(traffic_timed(&figures), 1000);
        uint64_t p50 = traffic_percentile(&figures, 50), p95 = traffic_percentile(&figures, 95);
        assert_true(p50 <= p95);
        if (us >= 1000 && us < 25000000) {
            assert_true(p50 * 2 >= us && p50 * 2 <= 3 * us);
            assert_true(p95 * 2 >= us && p95 * 2 <= 3 * us);
        }
    }
    assert_int_equal(before, TRAFFIC_LATENCIES - 1);
    figures = (traffic_figures_t){.requests = 0};
    assert_int_equal(traffic_percentile(&figures, 95), 0);
    figures.latencies[traffic_latency_bucket(1000)] = 95;
    figures.latencies[traffic_latency_bucket(1000000)] = 5;
    assert_true(traffic_percentile(&figures, 95) < 2000 && traffic_percentile(&figures, 96) > 700000);
}

static void ends(void **state)
{
    (void)state;
    char bytes[TRAFFIC_END_BYTES];
    traffic_end_t in = {.open = UINT64_MAX, .matched = 2, .ended = {3, 4, 5}}, out;
    assert_int_equal(traffic_end_write(&in, bytes), TRAFFIC_END_BYTES);
    assert_true(traffic_end_read(str_make(bytes, TRAFFIC_END_BYTES), &out));
    assert_memory_equal(&in, &out, sizeof(in));
    assert_false(traffic_end_read(str_make(bytes, TRAFFIC_END_BYTES - 1), &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions),
        cmocka_unit_test(no_questions),
        cmocka_unit_test(access_lines),
        cmocka_unit_test(the_longest_row),
        cmocka_unit_test(nothing_for_a_terminal),
        cmocka_unit_test(the_longest_figures),
        cmocka_unit_test(durations),
        cmocka_unit_test(ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
