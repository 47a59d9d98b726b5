#include "resend.h"

bool resend_is_idempotent(str_t method)
{
    return str_eq(method, STR("GET")) || str_eq(method, STR("HEAD")) || str_eq(method, STR("OPTIONS")) ||
           str_eq(method, STR("PUT")) || str_eq(method, STR("DELETE"));
}

bool resend_allowed(const resend_facts_t *facts)
{
    if (!(facts->reused || facts->elsewhere) || facts->response_began || !facts->body_held)
        return false;
    if (!facts->wrote)
        return facts->elsewhere || !facts->sent_again;
    return !facts->sent_again && (resend_is_idempotent(facts->method) && !facts->websocket);
}
