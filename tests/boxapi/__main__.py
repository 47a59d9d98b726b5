"""Runs the service by hand: python3 -m boxapi DIRECTORY [options]; ends on SIGTERM, SIGINT or when it is
killed, and its boxes with it."""

import argparse
import signal
import threading

from .service import BoxApi


def main():
    parser = argparse.ArgumentParser(prog="boxapi", description="A box API whose boxes are processes of this machine.")
    parser.add_argument("directory", help="where the boxes' files are")
    parser.add_argument("--port", type=int, default=0, help="of the API; 0: a free one")
    parser.add_argument("--plane-port", type=int, default=0, help="of the control plane; 0: a free one")
    parser.add_argument("--key", action="append", help="a key that is accepted; may be repeated (test-key)")
    parser.add_argument("--address", action="append", help="an address for a box; may be repeated")
    parser.add_argument("--create-seconds", type=float, default=0)
    parser.add_argument("--resume-seconds", type=float, default=0)
    given = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with BoxApi(given.directory, given.key or ("test-key",), given.address or (), given.create_seconds,
                given.resume_seconds, port=given.port, plane_port=given.plane_port) as service:
        print(f"ready: {service.url} {service.plane_url}", flush=True)
        stopped.wait()


main()
