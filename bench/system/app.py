"""The program of every service of the bench: answers that it is healthy, and stops when it is told."""

import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Healthy(BaseHTTPRequestHandler):
    """One path; no other may answer, or verification would take the others for public ones."""

    def do_GET(self) -> None:
        """The answer."""
        known = self.path == "/health"
        body = json.dumps({"status": "healthy" if known else "not found"}).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Nothing: nobody reads it."""


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Healthy).serve_forever()
