#include "pages.h"

#include "arena.h"
#include "field.h"
#include "page_templates.h"

/* Maximum bytes of a host name and of a request id. */
#define HOST_SHOWN 255
#define ID_SHOWN   64
/* Maximum bytes of a sentence. */
#define TEXT_SHOWN 1024

/* The title of an error page, and advice for its reader. */
typedef struct advice {
    int status;
    const char *title;
    const char *next;
} advice_t;

static const advice_t advices[] = {
    {400, "The request was not understood",
     "Open the address again. If a program sent this request, it has to follow HTTP more closely."},
    {401, "This preview asks for credentials", "Open the full address that you received, or sign in."},
    {403, "This is not allowed", "Ask the operator of this edge why access is refused."},
    {404, "There is no preview here",
     "Check the address for typing errors. If the box is yours, create a preview for this port and open the "
     "address that it prints."},
    {408, "The request took too long to arrive", "Check the connection and try again."},
    {413, "The request is too large", "Send less at once."},
    {414, "The address is too long", "Use a shorter address."},
    {421, "This host is not served here",
     "Check the address. If it is right, its DNS record points to the wrong server."},
    {429, "Too many requests", "Wait a moment and try again."},
    {431, "The request's headers are too large", "Delete the cookies of this site and try again."},
    {502, "There is no valid answer", "Reload this page."},
    {503, "This cannot be served right now", "Wait a few seconds and reload this page."},
    {504, "There is no answer yet", "Reload this page."},
    {508, "The request goes in a loop",
     "A proxy sends requests back to this edge. Correct its configuration."},
};

/* For statuses without their own text. */
static const advice_t client_error = {400, "This request cannot be served",
                                      "Check the address and try again."};
static const advice_t server_error = {
    500, "Something went wrong at the edge",
    "Reload this page. If the error persists, send the request id below to the operator of this edge."};

/* For an unknown address of the edge's own, in place of the text about previews. */
static const advice_t nothing_there = {404, "There is nothing at this address", "Check the address."};

static const advice_t no_link = {404, "This link opens nothing",
                                 "If you have opened it before, use the browser in which you did."};

/* The app refuses its public name; the detail has both remedies. */
static const advice_t host_refused = {403, "The app does not accept this address",
                                      "Change its configuration or the preview as above, then reload."};

static const advice_t *advice_for(int status, const char *code)
{
    if (status == 403 && code != NULL && strcmp(code, "host_refused") == 0)
        return &host_refused;
    if (status == 404 && code != NULL && strcmp(code, "not_found") == 0)
        return &nothing_there;
    if (status == 404 && code != NULL && strcmp(code, "link_not_found") == 0)
        return &no_link;
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++)
        if (advices[i].status == status)
            return &advices[i];
    return status < 500 ? &client_error : &server_error;
}

str_t page_error(arena_t *pool, const page_error_t *about)
{
    const advice_t *advice = advice_for(about->status, about->code);
    bool explains =
        about->detail != NULL && (about->sentence == NULL || strcmp(about->detail, about->sentence) != 0);
    error_html_t values = {
        .status = str_decimal(pool, (uint64_t)about->status),
        .title = str_from(about->title != NULL ? about->title : advice->title),
        .sentence = template_text(str_from(about->sentence), TEXT_SHOWN),
        .detail = template_text(str_from(explains ? about->detail : NULL), TEXT_SHOWN),
        .next = about->title != NULL ? about->next : str_from(advice->next),
        .logs_of = template_text(about->logs_of, HOST_SHOWN),
        .nonce = template_text(about->nonce, ID_SHOWN),
        .host = template_text(about->host, HOST_SHOWN),
        .request_id = template_text(about->request_id, ID_SHOWN),
    };
    return error_html(pool, &values);
}

str_t pages_script_csp(arena_t *pool, str_t nonce, str_t rest)
{
    return str_format(
        pool,
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'nonce-%.*s'; "
        "base-uri 'none'%.*s",
        STR_ARG(nonce), STR_ARG(rest));
}
