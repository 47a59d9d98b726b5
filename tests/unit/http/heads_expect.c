#include "heads_expect.h"

void expect_status(str_t data, int status)
{
    request_parse_t p;
    parse_request_all_ways(&p, data);
    if (p.result != HTTP1_BAD || p.error.status != status)
        fail_msg("result %d, status %d, not %d: %.*s", p.result, p.result == HTTP1_BAD ? p.error.status : 0,
                 status, STR_ARG(data));
    assert_non_null(p.error.code);
    assert_true(strlen(p.error.sentence) > 5);
    request_parse_fini(&p);
}
