#include "pages.h"

#include "field.h"
#include "text.h"

/* Bytes of a host name that are shown, and of a request id. */
#define HOST_SHOWN 255
#define ID_SHOWN   64
/* Of a sentence. */
#define TEXT_SHOWN 1024

static const char page_style[] =
    ":root{color-scheme:light dark;--ink:#1c2230;--soft:#5a6477;--paper:#f6f7f9;--card:#fff;--line:#dde1e8;"
    "--bad:#b3261e}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e8ebf1;--soft:#9aa4b5;--paper:#12151b;--card:#1a1f28;"
    "--line:#2c3340;--bad:#ff8a80}}"
    "*{box-sizing:border-box}"
    "body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.25rem;background:var(--paper);"
    "color:var(--ink);font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}"
    "main{width:100%;max-width:34rem;background:var(--card);border:1px solid var(--line);"
    "border-radius:14px;padding:1.75rem}"
    "h1{margin:.1rem 0 .9rem;font-size:1.3rem;line-height:1.3}"
    "p{margin:0 0 .9rem;overflow-wrap:anywhere}"
    ".status{color:var(--soft);font-size:.9rem;margin:0}"
    "dl{margin:1.2rem 0 0;padding-top:1rem;border-top:1px solid var(--line);font-size:.85rem;"
    "color:var(--soft)}"
    "dt{float:left;clear:left;width:6.5rem}"
    "label{display:block;margin:.9rem 0 .3rem;font-size:.9rem}"
    "input{width:100%;padding:.65rem .75rem;font:inherit;color:inherit;background:var(--paper);"
    "border:1px solid var(--line);border-radius:9px}"
    "button,.button{display:block;width:100%;margin-top:1.1rem;padding:.7rem;font:inherit;font-weight:600;"
    "text-align:center;text-decoration:none;color:var(--paper);background:var(--ink);border:0;border-radius:"
    "9px;cursor:pointer}"
    ".problem{padding:.6rem .75rem;border:1px solid var(--bad);border-radius:9px;color:var(--bad)}"
    ".or{margin:1.4rem 0 0;padding-top:1rem;border-top:1px solid "
    "var(--line);color:var(--soft);font-size:.9rem}"
    "dd{margin:0 0 .3rem 6.5rem;overflow-wrap:break-word}"
    "dd,code{font-family:ui-monospace,Menlo,Consolas,monospace}code{font-size:.9em}"
    /* On a phone a request id needs the whole line. */
    "@media(max-width:30rem){main{padding:1.25rem}dl{font-size:.8rem}dt{float:none;width:auto}"
    "dd{margin-left:0}}";

/* What an error page says under its title, and what its reader can do. */
typedef struct advice {
    int status;
    const char *title;
    const char *next;
} advice_t;

static const advice_t advices[] = {
    {400, "The request was not understood",
     "Open the address again. If a program sent this request, it has to follow HTTP more closely."},
    {401, "This preview asks for credentials", "Open the address that you were given in full, or sign in."},
    {403, "This is not allowed", "Ask whoever runs this edge why access is refused."},
    {404, "There is no preview here",
     "Check the address for typing errors. If the box is yours, create a preview for this port and open the "
     "address that it prints."},
    {408, "The request took too long to arrive", "Check the connection and try again."},
    {413, "The request is too large", "Send less at once."},
    {414, "The address is too long", "Use a shorter address."},
    {421, "This host is not served here",
     "Check the address. If it is right, its DNS record points to the wrong server."},
    {429, "Too many requests", "Wait a moment and try again."},
    {431, "The request's head is too large", "Delete the cookies of this site and try again."},
    {502, "There is no answer to pass on", "Load this page again."},
    {503, "This cannot be served right now", "Wait a few seconds and load this page again."},
    {504, "There is no answer yet", "Load this page again."},
    {508, "The request goes round in a circle", "Some proxy sends requests back to this edge. Correct it."},
};

/* For statuses without a text of their own. */
static const advice_t client_error = {400, "This request cannot be served",
                                      "Check the address and try again."};
static const advice_t server_error = {500, "Something went wrong at the edge",
                                      "Load this page again. If it stays so, tell whoever runs this edge, "
                                      "with the request id below."};

/* Of an address of the edge's own at which there is nothing: it is no missing preview. */
static const advice_t nothing_there = {404, "There is nothing at this address", "Check the address."};

static const advice_t *advice_for(int status, const char *code)
{
    if (status == 404 && code != NULL && strcmp(code, "not_found") == 0)
        return &nothing_there;
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++)
        if (advices[i].status == status)
            return &advices[i];
    return status < 500 ? &client_error : &server_error;
}

/* The escaped form of a character, or an empty slice for one that stands for itself. */
static str_t escape_char(char c)
{
    switch (c) {
    case '&':
        return STR("&amp;");
    case '<':
        return STR("&lt;");
    case '>':
        return STR("&gt;");
    case '"':
        return STR("&quot;");
    case '\'':
        return STR("&#39;");
    default:
        return c >= 0x20 && c < 0x7f ? STR("") : STR("?");
    }
}

str_t page_escape(h2o_mem_pool_t *pool, str_t s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        size_t len = escape_char(s.p[i]).n;
        n += len != 0 ? len : 1;
    }
    char *out = h2o_mem_alloc_pool(pool, n + 1);
    char *at = out;
    for (size_t i = 0; i < s.n; i++) {
        str_t escaped = escape_char(s.p[i]);
        if (escaped.n == 0) {
            *at++ = s.p[i];
            continue;
        }
        memcpy(at, escaped.p, escaped.n);
        at += escaped.n;
    }
    return str_make(out, n);
}

static str_t shown(h2o_mem_pool_t *pool, str_t s, size_t max)
{
    return page_escape(pool, str_make(s.p, s.n < max ? s.n : max));
}

str_t page_document(h2o_mem_pool_t *pool, str_t title, str_t body)
{
    return page_document_with(pool, title, STR(""), body);
}

str_t page_document_with(h2o_mem_pool_t *pool, str_t title, str_t head, str_t body)
{
    return str_format(pool,
                      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                      "<meta name=\"robots\" content=\"noindex\"><title>%.*s</title>"
                      "<link rel=\"icon\" href=\"data:,\"><style>%s</style>%.*s</head>\n"
                      "<body><main>%.*s</main></body></html>\n",
                      STR_ARG(title), page_style, STR_ARG(head), STR_ARG(body));
}

static str_t paragraph(h2o_mem_pool_t *pool, const char *text)
{
    if (text == NULL)
        return STR("");
    str_t escaped = shown(pool, str_from(text), TEXT_SHOWN);
    return str_format(pool, "<p>%.*s</p>", STR_ARG(escaped));
}

/* Where a name is too long for a phone, it breaks after a dot (or a hyphen, as in any text), not within a
 * word. */
static str_t breakable(h2o_mem_pool_t *pool, str_t escaped)
{
    str_t chance = STR("<wbr>");
    text_t out = text_new(pool, escaped.n * (chance.n + 1));
    for (size_t i = 0; i < escaped.n; i++) {
        text_put(&out, str_make(escaped.p + i, 1));
        if (escaped.p[i] == '.')
            text_put(&out, chance);
    }
    return text_str(&out);
}

/* A line of the list at the page's end; nothing for an empty value. */
static str_t row(h2o_mem_pool_t *pool, const char *name, str_t value, size_t max)
{
    str_t escaped = breakable(pool, shown(pool, value, max));
    return escaped.n != 0 ? str_format(pool, "<dt>%s</dt><dd>%.*s</dd>", name, STR_ARG(escaped)) : STR("");
}

str_t page_error(h2o_mem_pool_t *pool, const page_error_t *about)
{
    const advice_t *advice = advice_for(about->status, about->code);
    bool says_more = about->detail != NULL && strcmp(about->detail, about->sentence) != 0;
    const char *heading = about->title != NULL ? about->title : advice->title;
    str_t next = about->title != NULL ? about->next : str_from(advice->next);
    str_t what = paragraph(pool, about->sentence);
    str_t why = paragraph(pool, says_more ? about->detail : NULL);
    str_t host = row(pool, "Host", about->host, HOST_SHOWN);
    str_t id = row(pool, "Request id", about->request_id, ID_SHOWN);
    str_t title = str_format(pool, "%d %s", about->status, heading);
    str_t body = str_format(pool,
                            "<p class=\"status\">Error %d</p><h1>%s</h1>%.*s%.*s<p>%.*s</p>%.*s"
                            "<dl>%.*s%.*s</dl>",
                            about->status, heading, STR_ARG(what), STR_ARG(why), STR_ARG(next),
                            STR_ARG(about->more), STR_ARG(host), STR_ARG(id));
    return page_document(pool, title, body);
}
