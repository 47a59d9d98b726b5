#include "signin_page.h"

#include "field.h"
#include "pages.h"

/* Bytes of a path that go into the form; the path was bounded before. */
static str_t escaped(h2o_mem_pool_t *pool, const char *text)
{
    return page_escape(pool, str_from(text));
}

static str_t heading(h2o_mem_pool_t *pool, const signin_page_t *page)
{
    str_t box = escaped(pool, page->box), label = escaped(pool, page->label);
    str_t named = label.n != 0 ? str_format(pool, "<p>%.*s</p>", STR_ARG(label)) : STR("");
    return str_format(
        pool, "<p class=\"status\">Box <b>%.*s</b>, port <b>%u</b></p><h1>Sign in to this preview</h1>%.*s",
        STR_ARG(box), page->port, STR_ARG(named));
}

static str_t form_head(h2o_mem_pool_t *pool, const signin_page_t *page)
{
    str_t next = page_escape(pool, page->next);
    return str_format(
        pool, "<form method=\"post\" action=\"%s\"><input type=\"hidden\" name=\"next\" value=\"%.*s\">",
        page->action, STR_ARG(next));
}

static str_t password_form(h2o_mem_pool_t *pool, const signin_page_t *page)
{
    str_t head = form_head(pool, page);
    return str_format(
        pool,
        "<p class=\"or\">Or with user and password</p>%.*s"
        "<label for=\"username\">User</label>"
        "<input id=\"username\" name=\"username\" autocomplete=\"username\" autocapitalize=\"none\" required>"
        "<label for=\"password\">Password</label>"
        "<input id=\"password\" name=\"password\" type=\"password\" "
        "autocomplete=\"current-password\" required>"
        "<button>Sign in</button></form>",
        STR_ARG(head));
}

/* A redirect keeps the fragment of the address that was asked for (Fetch standard, HTTP-redirect fetch, 4):
 * that of the form's action, or of the link. */
static const char keep_fragment[] =
    "document.querySelectorAll('form').forEach(form=>form.addEventListener('submit',()=>{"
    "if(location.hash)form.action=new URL(location.hash,form.action).href}));\n"
    "document.querySelectorAll('a.button').forEach(link=>link.addEventListener('click',()=>{"
    "link.hash=location.hash}));\n";

static str_t script(h2o_mem_pool_t *pool, const signin_page_t *page)
{
    return str_format(pool, "<script nonce=\"%.*s\">%s</script>", STR_ARG(page->nonce), keep_fragment);
}

str_t signin_page_form(h2o_mem_pool_t *pool, const signin_page_t *page)
{
    str_t top = heading(pool, page), head = form_head(pool, page);
    str_t problem = page->problem != NULL
                        ? str_format(pool, "<p class=\"problem\" role=\"alert\">%s</p>", page->problem)
                        : STR("<p>It is private. Enter the token that came with its address.</p>");
    str_t password = page->basic ? password_form(pool, page) : STR(""), code = script(pool, page);
    str_t body =
        str_format(pool,
                   "%.*s%.*s%.*s<label for=\"token\">Token</label>"
                   "<input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"current-password\" "
                   "autocapitalize=\"none\" spellcheck=\"false\" required autofocus>"
                   "<button>Sign in</button></form>%.*s%.*s",
                   STR_ARG(top), STR_ARG(problem), STR_ARG(head), STR_ARG(password), STR_ARG(code));
    return page_document(pool, STR("Sign in"), body);
}

str_t signin_page_open_tab(h2o_mem_pool_t *pool, const signin_page_t *page)
{
    str_t top = heading(pool, page), next = page_escape(pool, page->next), code = script(pool, page);
    str_t body = str_format(
        pool,
        "%.*s<p>This page stands inside another site, which this preview does not allow to take its "
        "token. Open it in a tab of its own.</p>"
        "<a class=\"button\" href=\"%.*s\" target=\"_blank\" rel=\"noopener\">Open in a new tab</a>%.*s",
        STR_ARG(top), STR_ARG(next), STR_ARG(code));
    return page_document(pool, STR("Sign in"), body);
}

str_t signin_page_sign_out(h2o_mem_pool_t *pool, const char *box, uint16_t port, const char *action)
{
    str_t name = escaped(pool, box);
    str_t body =
        str_format(pool,
                   "<p class=\"status\">Box <b>%.*s</b>, port <b>%u</b></p><h1>Sign out of this preview</h1>"
                   "<p>This browser will ask for the token again.</p>"
                   "<form method=\"post\" action=\"%s\"><button>Sign out</button></form>",
                   STR_ARG(name), port, action);
    return page_document(pool, STR("Sign out"), body);
}
