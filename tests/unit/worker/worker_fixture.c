#include "worker_fixture.h"

#include "list.h"
#include "pipeline.h"

worker_fixture_t *worker_fixture_new(void)
{
    worker_fixture_t *f = calloc(1, sizeof(*f));
    conf_errors_t *errors = conf_errors_new();
    f->worker.context.conf = conf_parse("test.yaml", STR(FIXTURE_CONF), errors);
    if (f->worker.context.conf == NULL)
        conf_errors_print(errors, stderr);
    assert_non_null(f->worker.context.conf);
    conf_errors_free(&errors);
    f->worker.context.loop = loop_new();
    f->worker.context.pipeline = &edge_pipeline;
    f->worker.context.counters = &f->counters;
    account_root_init(&f->worker.context.memory, NULL);
    f->worker.context.random = random_source_new();
    f->worker.context.scratch = malloc(CONN_TURN_BYTES);
    list_init(&f->worker.context.clients);
    f->client.context = &f->worker.context;
    f->client.account.parent = &f->worker.context.memory.account;
    f->client.kind = CONF_LISTENER_PLAIN;
    f->client.local_port = 8080;
    f->client.local = true;
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &f->client.address), 1);
    return f;
}

void worker_fixture_free(worker_fixture_t *f)
{
    assert_int_equal(f->worker.context.memory.held, 0);
    assert_int_equal(f->counters.exchanges_open, 0);
    loop_turn(f->worker.context.loop, 0);
    loop_free(&f->worker.context.loop);
    random_source_free(&f->worker.context.random);
    conf_release(&f->worker.context.conf);
    free(f->worker.context.scratch);
    free(f);
}
