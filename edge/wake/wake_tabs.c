#include "wake_tabs.h"

#include "address.h"
#include "client.h"
#include "exchange_browser.h"
#include "hostname.h"
#include "remote.h"
#include "siphash.h"
#include "tabs.h"
#include "worker.h"

typedef enum initiator {
    INITIATOR_PERSON, /* or a program: a navigation, or a request from outside the box's pages */
    INITIATOR_PAGE,   /* a page of the box's previews makes a request, or reloads itself */
} initiator_t;

static bool contains(str_t text, str_t word)
{
    return text.n != 0 && memmem(text.p, text.n, word.p, word.n) != NULL;
}

/* Whether the browser shows that no hand began the navigation. Some browsers never do (WebKit): their
 * navigations count as a person's. */
static bool loads_itself(const exchange_t *ex)
{
    const fields_t *fields = &ex->request.fields;
    for (uint32_t i = 0; i < fields->count; i++)
        if (str_ieq(fields->at[i].name, STR("sec-fetch-user")))
            return false;
    str_t agent = fields_value(fields, FIELD_USER_AGENT);
    return contains(agent, STR("Chrome/")) || contains(agent, STR("Firefox/"));
}

/* Whether a URL or an Origin belongs to a preview of the same box: pages may call its other ports. */
static bool is_own(const exchange_t *ex, str_t url)
{
    static const str_t mark = {"://", 3};
    hostname_t name;
    const char *at = url.n != 0 ? memmem(url.p, url.n, mark.p, mark.n) : NULL;
    if (at == NULL)
        return false;
    str_t authority = str_from_offset(url, (size_t)(at - url.p) + mark.n);
    const char *slash = memchr(authority.p, '/', authority.n);
    if (slash != NULL)
        authority.n = (size_t)(slash - authority.p);
    str_t domain = str_from(ex->context->conf->preview_domain);
    return hostname_parse(authority, domain, &name) == HOSTNAME_PREVIEW &&
           (strcmp(name.id, ex->preview->id) == 0 || strcmp(name.id, ex->preview->alias) == 0);
}

static initiator_t initiator_of(const exchange_t *ex)
{
    browser_request_t browser = exchange_browser(ex);
    bool same = str_eq(browser.sec_fetch_site, STR("same-origin"));
    if (browser_is_navigation(&browser))
        return same && loads_itself(ex) ? INITIATOR_PAGE : INITIATOR_PERSON;
    if (same || is_own(ex, browser.origin))
        return INITIATOR_PAGE;
    bool is_declared = browser.origin.n != 0 || browser.sec_fetch_site.n != 0;
    return !is_declared && is_own(ex, fields_value(&ex->request.fields, FIELD_REFERER)) ? INITIATOR_PAGE
                                                                                        : INITIATOR_PERSON;
}

/* Key of the box and the client: its address (the /64 of IPv6) and its User-Agent, since many share an
 * address. */
static uint64_t key_of(const exchange_t *ex)
{
    static const siphash_key_t hash_key; /* fixed: clients in one cell are judged as one */
    const struct in6_addr *client = remote_address(ex);
    str_t agent = fields_value(&ex->request.fields, FIELD_USER_AGENT);
    str_t id = str_from(ex->preview->id);
    uint64_t parts[3] = {siphash(&hash_key, client, address_owner_bytes(client)),
                         siphash(&hash_key, agent.n != 0 ? agent.p : "", agent.n),
                         siphash(&hash_key, id.p, id.n)};
    uint64_t key = siphash(&hash_key, parts, sizeof(parts));
    return key != 0 ? key : 1;
}

static tab_request_t request_of(const exchange_t *ex)
{
    str_t method = ex->request.method;
    bool safe = str_eq(method, STR("GET")) || str_eq(method, STR("HEAD")) || ex->request.websocket;
    str_t what = ex->request.websocket ? STR("websocket") : method;
    return (tab_request_t){
        .key = key_of(ex), .fingerprint = tab_fingerprint(what, ex->request.target), .unsafe = !safe};
}

/* NULL if the rule is off. */
static tabs_t *tabs_of(const exchange_t *ex)
{
    return ex->context->shm == NULL || ex->preview->background_wakes ? NULL : shm_tabs(ex->context->shm);
}

bool wake_tabs_allow(exchange_t *ex, bool goes_on)
{
    tabs_t *tabs = tabs_of(ex);
    if (tabs == NULL)
        return true;
    if (initiator_of(ex) != INITIATOR_PAGE) {
        tabs_person(tabs, key_of(ex));
        return true;
    }
    tab_request_t request = request_of(ex);
    return goes_on || tabs_may_wake(tabs, &request, loop_now(ex->context->loop));
}

void wake_tabs_went(const exchange_t *ex)
{
    tabs_t *tabs = tabs_of(ex);
    if (tabs == NULL || atomic_load_explicit(&tabs->used, memory_order_relaxed) == 0)
        return;
    tab_request_t request = request_of(ex);
    if (initiator_of(ex) != INITIATOR_PAGE)
        tabs_person(tabs, request.key);
    else
        tabs_note(tabs, &request, loop_now(ex->context->loop));
}

void wake_tabs_typed(const exchange_t *ex)
{
    tabs_t *tabs = tabs_of(ex);
    if (tabs != NULL && atomic_load_explicit(&tabs->used, memory_order_relaxed) != 0)
        tabs_typed(tabs, key_of(ex), loop_now(ex->context->loop));
}
