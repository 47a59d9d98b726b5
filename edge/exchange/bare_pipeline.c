#include "pipeline.h"

static bool (*const no_origin_connected[])(exchange_t *) = {NULL};
static bool (*const no_may_pool[])(const exchange_t *) = {NULL};
static bool (*const no_judge[])(exchange_t *) = {NULL};
static const exchange_hook_t no_hook[] = {NULL};
static void (*const no_request_body[])(exchange_t *, str_t) = {NULL};
static bool (*const no_response_body[])(exchange_t *, str_t *) = {NULL};
static bool (*const no_origin_left[])(exchange_t *, const origin_failure_t *) = {NULL};
static void (*const no_failure[])(exchange_t *, origin_failure_t) = {NULL};

const pipeline_t bare_pipeline = {
    .hooks = {.begin = no_hook,
              .origin_connected = no_origin_connected,
              .origin_unreachable = no_hook,
              .may_pool = no_may_pool,
              .judge_head = no_judge,
              .response_head = no_hook,
              .local_head = no_hook,
              .request_body = no_request_body,
              .response_body = no_response_body,
              .origin_left = no_origin_left,
              .failed = no_failure,
              .drain = no_hook,
              .leave = no_hook,
              .end = no_hook},
};
