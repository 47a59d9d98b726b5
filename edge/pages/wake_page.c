#include "wake_page.h"

#include "field.h"
#include "pages.h"

/* Without script, the page is asked for again after so many seconds (and then waited for again). */
#define REFRESH_S 3
/* Bytes of a sentence that are shown. */
#define FAILURE_SHOWN 600

static const char wake_style[] =
    "<style>[hidden]{display:none}"
    ".stages{list-style:none;margin:1.2rem 0;padding:0}"
    ".stages li{display:flex;align-items:center;gap:.7rem;padding:.35rem 0;color:var(--soft)}"
    ".stages i{flex:none;width:1.2rem;height:1.2rem;border:2px solid var(--line);border-radius:50%}"
    ".stages .now{color:var(--ink);font-weight:600}"
    ".stages .now i{border-color:var(--ink);border-right-color:transparent;"
    "animation:turn .9s linear infinite}"
    ".stages .done{color:var(--ink)}"
    ".stages .done i{border-color:var(--ink);background:var(--ink)}"
    ".stages .done i::after{content:'';display:block;width:.3rem;height:.55rem;margin:.02rem auto 0;"
    "border:solid var(--card);border-width:0 2px 2px 0;transform:rotate(45deg)}"
    "@keyframes turn{to{transform:rotate(1turn)}}"
    "@media(prefers-reduced-motion:reduce){.stages .now i{animation:none;border:.35rem solid var(--ink)}}"
    "#elapsed{color:var(--ink);font-variant-numeric:tabular-nums}"
    ".button[aria-disabled=true]{opacity:.55;cursor:default}"
    ".last{margin-top:1rem}"
    ".said{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}"
    "</style>";

/*
 * The app takes the page's place by a reload: the same URL, with its fragment, and no entry in the history.
 * Where that gives this page again, at least a second passes before the next.
 */
static const char wake_script[] =
    "(()=>{'use strict';\n"
    "const at=id=>document.getElementById(id),wake=at('wake'),names=['resuming','starting','listening'];\n"
    "const still=matchMedia('(prefers-reduced-motion:reduce)').matches;\n"
    "let began=performance.now()-wake.dataset.elapsed,over=false,shown='',events=null;\n"
    "function text(ms){const s=ms/1000;return s<60?s.toFixed(still||s>=10?0:1)+' s':"
    "Math.floor(s/60)+' min '+Math.floor(s%60)+' s'}\n"
    "function tick(){if(!over)at('elapsed').textContent=text(performance.now()-began)}\n"
    "function stage(name){const n=names.indexOf(name);if(n<0||name===shown)return;shown=name;\n"
    "document.querySelectorAll('.stages li').forEach((li,i)=>{li.className=i<n?'done':i===n?'now':'';\n"
    "if(i===n){li.setAttribute('aria-current','step');at('said').textContent=li.textContent}\n"
    "else li.removeAttribute('aria-current')})}\n"
    "function again(){const last=performance.getEntriesByType('navigation')[0];\n"
    "const wait=last&&last.type==='reload'?Math.max(0,1000-performance.now()):0;\n"
    "setTimeout(()=>location.reload(),wait)}\n"
    "function end(){over=true;if(events)events.close()}\n"
    "function open(){if(!over){end();stage('listening');again()}}\n"
    "function offer(s){const link=at('again'),left=Math.ceil((s-performance.now())/1000);\n"
    "link.setAttribute('aria-disabled',String(left>0));\n"
    "link.textContent=left>0?'Try again in '+left+' s':'Try again';\n"
    "if(left>0)setTimeout(()=>offer(s),250)}\n"
    "function failed(why,seconds){if(over)return;end();\n"
    "at('waiting').hidden=true;at('failed').hidden=false;at('title').textContent='This box did not wake';\n"
    "document.title='This box did not wake';at('why').textContent=why;\n"
    "offer(performance.now()+seconds*1000)}\n"
    "if(wake.dataset.state==='asleep')return;\n" /* the link itself shows that a person follows it */
    "at('again').addEventListener('click',event=>{event.preventDefault();\n"
    "if(event.currentTarget.getAttribute('aria-disabled')!=='true')location.reload()});\n"
    "if(wake.dataset.state==='failed'){over=true;offer(+wake.dataset.retry*1000);return}\n"
    "stage(wake.dataset.stage);setInterval(tick,still?1000:100);tick();\n"
    "function listen(name,act){events.addEventListener(name,event=>act(JSON.parse(event.data)))}\n"
    "events=new EventSource('" WAKE_EVENTS_PATH "');\n"
    "listen('stage',e=>{began=Math.min(began,performance.now()-e.elapsed_ms);stage(e.stage)});\n"
    "listen('ready',open);\n"
    "listen('failed',e=>failed(e.sentence,e.retry_after));\n"
    "listen('asleep',()=>failed('The box is asleep, and nothing wakes it now.',0));\n"
    /* Refused (the session has ended, the preview is gone): the page itself is answered with why. */
    "events.onerror=()=>{if(!over&&events.readyState===2){end();setTimeout(()=>location.reload(),3000)}};\n"
    "addEventListener('pageshow',event=>{if(event.persisted)location.reload()});\n"
    "})();\n";

const char *wake_stage_name(wake_stage_t stage)
{
    switch (stage) {
    case WAKE_RESUMING:
        break;
    case WAKE_STARTING:
        return "starting";
    case WAKE_LISTENING:
        return "listening";
    }
    return "resuming";
}

static const char *class_of(const wake_page_t *page, wake_stage_t stage)
{
    if (stage == page->stage)
        return "now\" aria-current=\"step";
    return stage < page->stage ? "done" : "";
}

static str_t waiting(h2o_mem_pool_t *pool, const wake_page_t *page)
{
    return str_format(pool,
                      "<div id=\"waiting\"%s><p>It was asleep. The app opens here as soon as it answers.</p>"
                      "<ol class=\"stages\">"
                      "<li class=\"%s\"><i aria-hidden=\"true\"></i>Resuming the box</li>"
                      "<li class=\"%s\"><i aria-hidden=\"true\"></i>Waiting for the app on port %u</li>"
                      "<li class=\"%s\"><i aria-hidden=\"true\"></i>Opening the app</li></ol>"
                      "<p class=\"status\">So far <span id=\"elapsed\">%u s</span></p>"
                      "<p class=\"said\" id=\"said\" role=\"status\"></p>"
                      "<noscript><p class=\"status\">This page loads itself again every few seconds."
                      "</p></noscript></div>",
                      page->failure != NULL ? " hidden" : "", class_of(page, WAKE_RESUMING),
                      class_of(page, WAKE_STARTING), page->port, class_of(page, WAKE_LISTENING),
                      (unsigned)(page->elapsed_ms / 1000));
}

static str_t failed(h2o_mem_pool_t *pool, const wake_page_t *page)
{
    str_t why = str_from(page->failure != NULL ? page->failure : "");
    why = page_escape(pool, str_make(why.p, why.n < FAILURE_SHOWN ? why.n : FAILURE_SHOWN));
    str_t box = page_escape(pool, str_from(page->box));
    str_t log = page->has_log && !page->asleep
                    ? str_format(pool,
                                 "<p class=\"status last\">What the box wrote is shown by "
                                 "<code>boxedge box logs %.*s</code>.</p>",
                                 STR_ARG(box))
                    : STR("");
    return str_format(
        pool,
        "<div id=\"failed\"%s><p class=\"problem\" id=\"why\" role=\"alert\">%.*s</p>"
        "<a class=\"button\" id=\"again\" href=\"\">%s</a>%.*s%s</div>",
        page->failure == NULL ? " hidden" : "", STR_ARG(why), page->asleep ? "Wake it" : "Try again",
        STR_ARG(log),
        page->asleep
            ? ""
            : "<p class=\"status last\">If it fails again, tell whoever runs this box, with the request "
              "id below.</p>");
}

str_t wake_page(h2o_mem_pool_t *pool, const wake_page_t *page)
{
    bool over = page->failure != NULL;
    const char *title = page->asleep ? "This box is asleep"
                        : over       ? "This box did not wake"
                                     : "Waking this box";
    str_t box = page_escape(pool, str_from(page->box));
    str_t id = page_escape(pool, str_from(page->request_id));
    str_t head = over
                     ? str_from(wake_style)
                     : str_format(pool, "%s<noscript><meta http-equiv=\"refresh\" content=\"%d\"></noscript>",
                                  wake_style, REFRESH_S);
    str_t one = waiting(pool, page), other = failed(pool, page);
    str_t body = str_format(
        pool,
        "<div id=\"wake\" data-state=\"%s\" data-stage=\"%s\" data-elapsed=\"%llu\" data-retry=\"%u\">"
        "<p class=\"status\">Box <b>%.*s</b>, port <b>%u</b></p><h1 id=\"title\">%s</h1>%.*s%.*s"
        "<dl><dt>Request id</dt><dd>%.*s</dd></dl></div><script nonce=\"%.*s\">%s</script>",
        page->asleep ? "asleep"
        : over       ? "failed"
                     : "waiting",
        wake_stage_name(page->stage), (unsigned long long)page->elapsed_ms, page->retry_after, STR_ARG(box),
        page->port, title, STR_ARG(one), STR_ARG(other), STR_ARG(id), STR_ARG(page->nonce), wake_script);
    return page_document_with(pool, str_from(title), head, body);
}

str_t wake_page_policy(h2o_mem_pool_t *pool, str_t nonce)
{
    return str_format(
        pool,
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'nonce-%.*s'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'",
        STR_ARG(nonce));
}
