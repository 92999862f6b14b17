"""The SSH transport that pyinfra's connections use."""

from __future__ import annotations

import socket
from typing import Any

import paramiko

# Seconds and counts of keepalive, and milliseconds that sent bytes may stay unanswered.
_NOTICE = (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 20_000))


def no_delay(sock: Any, **kwargs: Any) -> paramiko.Transport:
    """A paramiko transport without Nagle's wait of 40 ms a question, and that notices when its host has gone.

    A ProxyJump channel has no such options. TCP_USER_TIMEOUT is Linux's; without it a host that is cut off in
    mid-operation keeps its command waiting for a quarter of an hour.
    """
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _NOTICE:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return paramiko.Transport(sock, **kwargs)
