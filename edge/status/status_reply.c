#include "status_reply.h"

#include "arena.h"
#include "context.h"
#include "random_id.h"
#include "status_page.h"

#define NONCE_DIGITS 32

static void add(exchange_t *ex, fields_t *fields, const char *name, str_t value)
{
    fields_add(&ex->arena, fields, FIELD_OTHER, str_from(name), value);
}

void status_reply(exchange_t *ex)
{
    char digits[NONCE_DIGITS];
    random_hex(ex->context->random, digits, sizeof(digits));
    str_t nonce = str_make(digits, sizeof(digits));
    fields_t fields = {0};
    add(ex, &fields, "cache-control", STR("no-store"));
    add(ex, &fields, "content-security-policy", status_page_policy(&ex->arena, nonce));
    add(ex, &fields, "cross-origin-opener-policy", STR("same-origin"));
    add(ex, &fields, "cross-origin-resource-policy", STR("same-origin"));
    add(ex, &fields, "referrer-policy", STR("no-referrer"));
    add(ex, &fields, "x-content-type-options", STR("nosniff"));
    exchange_reply(ex, 200, STR("text/html; charset=utf-8"), &fields, status_page(&ex->arena, nonce));
}
