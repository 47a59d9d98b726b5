/*
 * The page of the demo app: one file without external resources. The style and the script are text here, line
 * by line; the escaped request goes in between.
 */
#include <assert.h>

#include "arena.h"
#include "demo_internal.h"
#include "template.h"

/* Allows the page its own style, script and addresses only. */
#define DEMO_CSP                                                                                             \
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "        \
    "img-src data:; base-uri 'none'; form-action 'none'"

static const char page_start[] =
    "<!doctype html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
    "<title>boxedge demo</title>\n"
    "<link rel=\"icon\" href=\"data:,\">\n"
    "<style>\n"
    ":root{color-scheme:light "
    "dark;--ink:#1b2130;--soft:#5b6578;--paper:#f4f6f9;--card:#fff;--line:#dfe3ea;--accent:#2457d6;--good:#"
    "14804a;--bad:#b3261e;--code:#eef1f6}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e7eaf0;--soft:#9aa4b6;--paper:#10131a;--card:#181c25;--"
    "line:#2a313e;--accent:#7aa2ff;--good:#5fd39a;--bad:#ff8a80;--code:#11151d}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,'Segoe "
    "UI',Roboto,sans-serif}\n"
    "main{max-width:68rem;margin:0 auto;padding:1.5rem 1rem 3rem}\n"
    "header{margin-bottom:1.25rem}\n"
    "h1{font-size:1.5rem;line-height:1.25;margin:0 0 .35rem}\n"
    "h2{font-size:1.05rem;margin:0 0 .6rem;display:flex;align-items:center;gap:.5rem}\n"
    "p{margin:0 0 .7rem;color:var(--soft)}\n"
    ".grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(24rem,100%),1fr));gap:1rem}\n"
    "section{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:1.1rem "
    "1.2rem;min-width:0}\n"
    ".wide{grid-column:1/-1}\n"
    "code,pre,td,output{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.85rem}\n"
    "table{border-collapse:collapse;width:100%}\n"
    "td{padding:.25rem .5rem .25rem 0;vertical-align:top;overflow-wrap:anywhere;border-top:1px solid "
    "var(--line)}\n"
    "tr:first-child td{border-top:0}\n"
    "td:first-child{color:var(--soft);width:11rem}\n"
    ".clock{font-size:1.5rem;display:block;font-variant-numeric:tabular-nums}\n"
    ".dot{width:.6rem;height:.6rem;border-radius:50%;background:var(--soft);flex:none}\n"
    ".dot.on{background:var(--good)}.dot.off{background:var(--bad)}\n"
    "form{display:flex;gap:.5rem;flex-wrap:wrap;align-items:center;margin:0 0 .7rem}\n"
    "input[type=text]{flex:1 1 10rem;min-width:0;padding:.5rem .65rem;border:1px solid "
    "var(--line);border-radius:9px;background:var(--paper);color:inherit;font:inherit}\n"
    "input[type=file]{flex:1 1 12rem;min-width:0;font:inherit;font-size:.9rem}\n"
    "button{padding:.5rem "
    ".9rem;border:0;border-radius:9px;background:var(--accent);color:var(--card);font:inherit;font-weight:"
    "600;cursor:pointer}\n"
    "button:disabled{opacity:.5;cursor:default}\n"
    "button:focus-visible,input:focus-visible{outline:2px solid var(--accent);outline-offset:2px}\n"
    "pre{margin:0;padding:.65rem "
    ".8rem;background:var(--code);border-radius:9px;white-space:pre-wrap;overflow-wrap:anywhere;max-height:"
    "11rem;overflow:auto;min-height:2.6rem}\n"
    "progress{width:100%;height:.6rem;accent-color:var(--accent)}\n"
    "@media(max-width:34rem){td{display:block;border:0;padding:0}td:first-child{width:auto;padding-top:.5rem}"
    "}\n"
    "</style>\n"
    "</head>\n"
    "<body>\n"
    "<main>\n"
    "<header><h1>This page comes from a box</h1>\n"
    "<p>It was served by the demo app, and reached you through the edge. Each part below tries one path "
    "between your browser and the box.</p>\n"
    "<p id=\"woke\" role=\"status\" hidden></p></header>\n"
    "<div class=\"grid\">\n";

static const char page_parts[] =
    "<section><h2><span class=\"dot\" id=\"clock-dot\"></span>Server-sent events</h2>\n"
    "<p>The app sends the time once a second. Each event is shown as it comes.</p>\n"
    "<output class=\"clock\" id=\"clock\">&ndash;</output><p id=\"clock-count\"></p></section>\n"
    "<section><h2><span class=\"dot\" id=\"echo-dot\"></span>WebSocket</h2>\n"
    "<p>What you send comes back.</p>\n"
    "<form id=\"echo-form\"><input type=\"text\" id=\"echo-text\" value=\"hello\" maxlength=\"2000\" "
    "aria-label=\"Message\"><button id=\"echo-send\" disabled>Send</button></form>\n"
    "<pre id=\"echo-log\" aria-live=\"polite\"></pre></section>\n"
    "<section class=\"wide\"><h2>Upload</h2>\n"
    "<p>The app counts and hashes the bytes as they come. Without a file, 8 MiB of zeroes are sent.</p>\n"
    "<form id=\"upload-form\"><input type=\"file\" id=\"upload-file\" aria-label=\"File\"><button "
    "id=\"upload-send\">Upload</button></form>\n"
    "<p><progress id=\"upload-bar\" value=\"0\" max=\"1\" aria-label=\"Progress\"></progress></p>\n"
    "<pre id=\"upload-result\"></pre></section>\n"
    "<section class=\"wide\"><h2>The request as the box saw it</h2>\n"
    "<table>\n";

static const char page_script[] =
    "</table></section>\n"
    "</div>\n"
    "</main>\n"
    "<script>\n"
    "'use strict';\n"
    "const at = id => document.getElementById(id);\n"
    "const dot = (id, state) => { at(id).className = 'dot ' + state; };\n"
    "\n"
    "const timing = performance.getEntriesByType('navigation')[0];\n"
    "const took = Object.fromEntries((timing && timing.serverTiming || []).map(t => [t.name, t.duration]));\n"
    "if ('resume' in took) {\n"
    "  const s = ms => (ms / 1000).toFixed(2) + ' s';\n"
    "  at('woke').textContent = 'This box was asleep. Waking it took ' + s(took.resume + took.listen) + ': ' "
    "+\n"
    "    s(took.resume) + ' until it ran, ' + s(took.listen) + ' until the app listened.';\n"
    "  at('woke').hidden = false;\n"
    "}\n"
    "\n"
    "const events = new EventSource('/events');\n"
    "events.onopen = () => dot('clock-dot', 'on');\n"
    "events.onerror = () => dot('clock-dot', 'off');\n"
    "events.onmessage = event => {\n"
    "  const tick = JSON.parse(event.data);\n"
    "  at('clock').textContent = tick.time.slice(11, 23) + ' UTC';\n"
    "  at('clock-count').textContent = tick.count + (tick.count === 1 ? ' event' : ' events') + ' so far';\n"
    "};\n"
    "\n"
    "let socket;\n"
    "function connect() {\n"
    "  socket = new WebSocket(location.origin.replace(/^http/, 'ws') + '/echo');\n"
    "  socket.onopen = () => { dot('echo-dot', 'on'); at('echo-send').disabled = false; };\n"
    "  socket.onmessage = event => {\n"
    "    const took = (performance.now() - sent).toFixed(1);\n"
    "    log('\\u2190 ' + event.data + '   (' + took + ' ms)');\n"
    "  };\n"
    "  socket.onclose = event => {\n"
    "    dot('echo-dot', 'off');\n"
    "    at('echo-send').disabled = true;\n"
    "    log('closed (' + event.code + ')');\n"
    "    setTimeout(connect, 2000);\n"
    "  };\n"
    "}\n"
    "let sent = 0;\n"
    "function log(line) {\n"
    "  const out = at('echo-log');\n"
    "  out.textContent = (out.textContent ? out.textContent + '\\n' : '') + line;\n"
    "  out.scrollTop = out.scrollHeight;\n"
    "}\n"
    "at('echo-form').onsubmit = event => {\n"
    "  event.preventDefault();\n"
    "  const text = at('echo-text').value;\n"
    "  log('\\u2192 ' + text);\n"
    "  sent = performance.now();\n"
    "  socket.send(text);\n"
    "};\n"
    "connect();\n"
    "\n"
    "at('upload-form').onsubmit = event => {\n"
    "  event.preventDefault();\n"
    "  const file = at('upload-file').files[0];\n"
    "  const body = file || new Blob([new Uint8Array(8 << 20)]);\n"
    "  const request = new XMLHttpRequest();\n"
    "  const started = performance.now();\n"
    "  at('upload-send').disabled = true;\n"
    "  request.upload.onprogress = progress => {\n"
    "    if (progress.lengthComputable) at('upload-bar').value = progress.loaded / progress.total;\n"
    "  };\n"
    "  request.onload = () => {\n"
    "    const seconds = (performance.now() - started) / 1000;\n"
    "    let text = 'status ' + request.status;\n"
    "    if (request.status === 200) {\n"
    "      const answer = JSON.parse(request.responseText);\n"
    "      text = answer.bytes.toLocaleString('en') + ' bytes in ' + seconds.toFixed(2) + ' s\\nSHA-256 ' + "
    "answer.sha256;\n"
    "      at('upload-bar').value = 1;\n"
    "    }\n"
    "    at('upload-result').textContent = text;\n"
    "    at('upload-send').disabled = false;\n"
    "  };\n"
    "  request.onerror = () => {\n"
    "    at('upload-result').textContent = 'The upload failed.';\n"
    "    at('upload-send').disabled = false;\n"
    "  };\n"
    "  request.open('POST', '/upload');\n"
    "  request.setRequestHeader('Content-Type', 'application/octet-stream');\n"
    "  request.send(body);\n"
    "};\n"
    "</script>\n"
    "</body>\n"
    "</html>\n";

static str_t joined(arena_t *pool, const str_t *parts, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += parts[i].n;
    char *text = arena_alloc(pool, n + 1);
    char *at = text;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].n != 0)
            memcpy(at, parts[i].p, parts[i].n);
        at += parts[i].n;
    }
    return str_make(text, n);
}

static str_t row(exchange_t *ex, str_t name, str_t value)
{
    arena_t *pool = &ex->arena;
    str_t left = template_escape(pool, name);
    str_t right = template_escape(pool, value);
    str_t parts[] = {STR("<tr><td>"), left, STR("</td><td>"), right, STR("</td></tr>\n")};
    return joined(pool, parts, sizeof parts / sizeof *parts);
}

void demo_page(exchange_t *ex)
{
    const request_t *request = &ex->request;
    arena_t *pool = &ex->arena;
    size_t count = request->fields.count + 6;
    str_t *parts = arena_alloc(pool, (count + 2) * sizeof *parts);
    size_t n = 0;
    parts[n++] = STR(page_start);
    parts[n++] = STR(page_parts);
    parts[n++] = row(ex, STR("Method"), request->method);
    parts[n++] = row(ex, STR("Path"), request->target);
    parts[n++] = row(ex, STR("Client"), demo_client(ex));
    parts[n++] = row(ex, STR("Host"), request->authority);
    for (uint32_t i = 0; i < request->fields.count; i++)
        parts[n++] = row(ex, request->fields.at[i].name, request->fields.at[i].value);
    parts[n++] = STR(page_script);
    assert(n <= count + 2);
    fields_t fields = {0};
    fields_add(pool, &fields, FIELD_OTHER, STR("cache-control"), STR("no-store"));
    fields_add(pool, &fields, FIELD_OTHER, STR("content-security-policy"), STR(DEMO_CSP));
    exchange_reply(ex, 200, STR("text/html; charset=utf-8"), &fields, joined(pool, parts, n));
}
