"""nginx itself on loopback, with a host's own files: what they do, beside what they say."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from deploys.components.nginx import asking
from tests.plan.promtool import tool
from tests.unit.serving import free_port

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PATCH", "PUT", "DELETE", "PROPFIND")
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_PATH = re.compile(r'(?<=[\s"])/(?=(?:etc|var|run|usr)/)')
_LISTEN = re.compile(r"listen (?:(\S+):)?(\d+)\b")


@dataclass
class Instance:
    """What stands where a service would; it keeps what it is asked, and answers all of it alike.

    Attributes:
        status: what it answers with; 0: it takes the request and closes the connection.
    """

    name: str
    status: int = 200
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    @contextmanager
    def running(self) -> Iterator[Instance]:
        """While it is there."""
        server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        server.daemon_threads = True
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _handler(instance: Instance) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            instance.asked.append((self.command, self.path, body))
            instance.headers.append(dict(self.headers))
            if not instance.status:
                self.close_connection = True
                return
            said = json.dumps({"name": instance.name}).encode()
            self.send_response(instance.status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said)

        def log_message(self, format: str, *args: object) -> None:
            return

    for method in METHODS:
        setattr(Handler, f"do_{method}", Handler.answer)
    return Handler


@dataclass(frozen=True)
class Answer(asking.Answer):
    """What a client was told, by one of the instances."""

    @property
    def name(self) -> str:
        """The instance that answered."""
        return str(json.loads(self.body)["name"])


@dataclass(frozen=True)
class Server:
    """A running nginx: its ports by those of the files, and the folder that stands for `/`."""

    ports: Mapping[int, int]
    root: Path

    def ask(self, name: str, path: str, method: str = "GET", body: bytes | None = None, *, port: int = 443) -> Answer:
        """What it answers to one request; by TLS where `port` is 443."""
        plain = socket.create_connection(("127.0.0.1", self.ports[port]), timeout=15)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = HTTPConnection(name)
        connection.sock = context.wrap_socket(plain, server_hostname=name) if port == 443 else plain
        try:
            connection.request(method, path, body)
            said = connection.getresponse()
            headers = {key.lower(): value for key, value in said.getheaders()}
            return Answer(said.status, headers, said.read().decode())
        finally:
            connection.close()


@contextmanager
def running(folder: Path, texts: Mapping[str, str], upstreams: Mapping[str, int]) -> Iterator[Server]:
    """nginx with these files below `folder` and on ports of its own.

    Args:
        folder: an empty one.
        texts: content by the path on a host, `/etc/nginx/nginx.conf` among them.
        upstreams: where what the files call `address:port` is here.
    """
    ports = _laid_out(folder, texts, upstreams)
    command = [
        str(tool("nginx")),
        "-e",
        f"{folder}/error.log",
        "-p",
        str(folder),
        "-c",
        f"{folder}/etc/nginx/nginx.conf",
    ]
    process = subprocess.Popen([*command, "-g", "daemon off;"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        _wait(process, ports)
        yield Server(ports, folder)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _laid_out(folder: Path, texts: Mapping[str, str], upstreams: Mapping[str, int]) -> dict[int, int]:
    """Writes the files, and what Debian's package has beside them; gives nginx's ports by those of the files."""
    listened = {int(found[2]) for text in texts.values() for found in _LISTEN.finditer(text)}
    ports = {port: free_port() for port in listened}
    for path, text in texts.items():
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_here(text, folder, ports, upstreams))
    (folder / "etc/nginx/mime.types").write_text("types { text/html html; application/json json; }\n")
    for name in ("var/log/nginx", "run", "temporary", "var/www/acme"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return ports


def _here(text: str, folder: Path, ports: Mapping[int, int], upstreams: Mapping[str, int]) -> str:
    text = _PATH.sub(f"{folder}/", text)
    text = _LISTEN.sub(lambda found: f"listen 127.0.0.1:{ports[int(found[2])]}", text)
    text = re.sub(r"( +listen \S+;\n)\1+", r"\1", text)
    for address, port in upstreams.items():
        text = text.replace(f"server {address} ", f"server 127.0.0.1:{port} ")
    # Tests say who fails, however often; one worker asks them in turn, and is whoever runs the tests.
    text = text.replace("max_fails=3", "max_fails=0")
    text = re.sub(r"worker_processes \d+;", "worker_processes 1;", text)
    text = re.sub(r"(?m)^user .*;$", "user root;" if os.geteuid() == 0 else "", text)
    temporary = "".join(f"{name}_temp_path {folder}/temporary/{name};\n" for name in _TEMPORARY)
    return text.replace("http {\n", f"http {{\n{temporary}", 1)


def _wait(process: subprocess.Popen[bytes], ports: Mapping[int, int]) -> None:
    deadline = time.monotonic() + 15
    while True:
        try:
            for port in ports.values():
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                said = process.communicate()[0].decode() if process.poll() is not None else "it does not listen"
                raise AssertionError(f"nginx does not run: {said}") from None
            time.sleep(0.05)
