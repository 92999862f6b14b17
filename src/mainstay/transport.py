"""The SSH transport that pyinfra's connections use."""

from __future__ import annotations

import socket
from typing import Any

import paramiko


def no_delay(sock: Any, **kwargs: Any) -> paramiko.Transport:
    """A paramiko transport without Nagle's wait of 40 ms a question; a ProxyJump channel has no such option."""
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return paramiko.Transport(sock, **kwargs)
