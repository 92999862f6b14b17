"""Who takes alerts in the lab: a program on loopback of the monitoring host, where stand-ins for receivers point to.

Without it nobody does, and a host whose alerts nobody takes is one at fault: on a machine that is busy for minutes, the
thresholds of processors are crossed in truth. Every post is a line of /root/told.
"""

from __future__ import annotations

RECEIVER = """
import json
from http.server import BaseHTTPRequestHandler, HTTPServer

class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open("/root/told", "a") as out:
            out.write(json.dumps({"path": self.path, "body": body}) + chr(10))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass

HTTPServer(("127.0.0.1", 8099), Receiver).serve_forever()
"""

START = f"""cat > /root/receiver.py <<'EOF'
{RECEIVER}
EOF
systemd-run -q --unit=receiver python3 /root/receiver.py
"""
