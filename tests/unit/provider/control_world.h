/* The provider of a control plane, which is a server with the test's answers, and the provider's reports. The
 * waits between calls are skipped (`pass`); libcurl's clock measures each call. */
#ifndef BOXEDGE_CONTROL_WORLD_H
#define BOXEDGE_CONTROL_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>

#include "control_calls.h"
#include "fetch_server.h"
#include "provider_http.h"

#define CONF                                                                                                 \
    "preview_domain: preview.test\nnode: here\npublic_port: 443\n"                                           \
    "listeners:\n  - {address: \"127.0.0.1:8080\", kind: plain}\n"
#define PAUSED  "{\"id\":\"abc\",\"state\":\"paused\"}"
#define RUNNING "{\"id\":\"abc\",\"state\":\"running\",\"address\":\"10.1.2.3\",\"incarnation\":\"one\"}"
#define AGAIN   "{\"id\":\"abc\",\"state\":\"running\",\"address\":\"10.1.2.3\",\"incarnation\":\"two\"}"
#define BROKEN  "{\"id\":\"abc\",\"state\":\"error\"}"
#define GONE    "{\"id\":\"abc\",\"state\":\"gone\"}"

typedef struct world {
    loop_t *loop;
    fetcher_t *fetcher;
    server_t *server;
    provider_t *provider;
    conf_t *conf;
    char url[64], token_path[64];
    /* the reports */
    unsigned tolds, resumeds;
    provider_box_t box;
    provider_result_t result;
    char sentence[256];
    char resumed_id[BOX_ID_MAX + 1];
    bool resumes_when_told; /* asks for a resume from within */
} world_t;

extern const provider_handlers_t control_world_handlers;
int control_world_setup(void **state);
int control_world_teardown(void **state);

#define WAIT(w, condition)                                                                                   \
    do {                                                                                                     \
        uint64_t end_ = loop_precise_us() + 20000000;                                                        \
        while (!(condition) && loop_precise_us() < end_)                                                     \
            loop_turn((w)->loop, 20);                                                                        \
        assert_true(condition);                                                                              \
    } while (0)

/* `ms` pass, after the server's bytes were processed. If those came later, their waits would last as long as
 * without a test. */
void control_world_pass(world_t *w, uint64_t ms);
void control_world_resume(world_t *w);
void push(world_t *w, const char *json);
bool last_was(world_t *w, const char *start);

#endif
