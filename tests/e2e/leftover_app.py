"""An app that answers without reading the request's body, or that merges trailers, by one of several servers:
leftover_app.py http.server|flask|aiohttp PORT. Each answer names its request's path and Cookie."""

import http.server
import sys


def run_http_server(port):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            text = f"{self.path} {self.headers.get('Cookie', '-')}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *_):
            pass

    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def run_flask(port):
    import flask  # pylint: disable=import-outside-toplevel,import-error

    app = flask.Flask("leftover")

    @app.route("/<path:path>", methods=["GET", "POST", "PUT", "DELETE"])
    def answer(path):
        return f"/{path} {flask.request.headers.get('Cookie', '-')}"

    app.run("127.0.0.1", port, threaded=True)


def run_aiohttp(port):
    from aiohttp import web  # pylint: disable=import-outside-toplevel,import-error

    async def answer(request):
        await request.read()
        fields = " ".join(f"{name.lower()}={value}" for name, value in request.headers.items() if name.lower().startswith("x-t"))
        return web.Response(text=f"{request.path} {request.headers.get('Cookie', '-')} {fields}".strip())

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None)


if __name__ == "__main__":
    {"http.server": run_http_server, "flask": run_flask, "aiohttp": run_aiohttp}[sys.argv[1]](int(sys.argv[2]))
