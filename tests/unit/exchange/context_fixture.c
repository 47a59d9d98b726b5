#include "context_fixture.h"

#include "list.h"

context_fixture_t *context_fixture_in(context_t *context, void *owner, const pipeline_t *pipeline)
{
    context_fixture_t *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    conf_errors_t *errors = conf_errors_new();
    context->conf = conf_parse("test.yaml", STR(FIXTURE_CONF), errors);
    if (context->conf == NULL)
        conf_errors_print(errors, stderr);
    assert_non_null(context->conf);
    conf_errors_free(&errors);
    context->loop = loop_new();
    context->pipeline = pipeline;
    context->counters = &f->counters;
    account_root_init(&context->memory, NULL);
    context->random = random_source_new();
    context->scratch = malloc(CONN_TURN_BYTES);
    list_init(&context->clients);
    list_init(&context->exchanges);
    f->context = context;
    f->owner = owner;
    f->client.context = context;
    f->client.account.parent = &context->memory.account;
    f->client.kind = CONF_LISTENER_PLAIN;
    f->client.local_port = 8080;
    f->client.local = true;
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &f->client.address), 1);
    return f;
}

context_fixture_t *context_fixture_new(void)
{
    context_t *context = calloc(1, sizeof(*context));
    assert_non_null(context);
    return context_fixture_in(context, context, &bare_pipeline);
}

void context_fixture_free(context_fixture_t *f)
{
    context_t *context = f->context;
    assert_int_equal(context->memory.held, 0);
    assert_int_equal(f->counters.exchanges_open, 0);
    loop_turn(context->loop, 0);
    loop_free(&context->loop);
    random_source_free(&context->random);
    conf_release(&context->conf);
    free(context->scratch);
    free(f->owner);
    free(f);
}

store_preview_t *test_preview(exchange_t *ex)
{
    static const store_preview_t empty;
    if (ex->preview == &preview_none)
        ex->preview = preview_share(&empty);
    return (store_preview_t *)(uintptr_t)ex->preview;
}
