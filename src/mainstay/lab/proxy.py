"""The proxy that gives a lab's hosts their packages: nginx in the gateway, and what it keeps for every lab.

What never changes under its name (packages, and indexes by their hash) is stored by its address in one folder that all
labs share: nginx writes a file whole and then renames it, so several proxies may write there at once. Anything else is
asked for again after ten minutes. Of several hosts that ask for the same at once, one makes the download.
"""

from __future__ import annotations

import os
from urllib.parse import SplitResult, urlsplit

from mainstay.lab.addresses import Network
from mainstay.lab.mirror import Mirror
from mainstay.lab.outside import remove_tree
from mainstay.lab.paths import PACKAGES

PROXY_PORT = 3142
USER = "lab-packages"
# Fixed, because the files of the shared folder belong to it across images.
UID = 880
FOLDER = "/var/cache/lab-packages"
UNIT = """[Unit]
Description=Packages for the lab's hosts
After=network.target

[Service]
ExecStart=/usr/sbin/nginx -c /etc/lab-packages.conf -e stderr -g "daemon off;"
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
# The first server keeps, the second joins those who ask for the same. A name that is no mirror's gets 403.
_CONFIG = """user {user};
worker_processes 1;
pid /run/lab-packages.pid;
events {{ worker_connections 1024; }}
http {{
  access_log /var/log/nginx/lab-packages.log;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 60s;
  keepalive_requests 10000;
  default_type application/octet-stream;
  proxy_cache_path /var/cache/nginx-recent keys_zone=recent:2m inactive=10m max_size=1g use_temp_path=off;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $http_host;
  map $host $origin {{
{origins}  }}
{upstreams}  server {{
    listen {address}:{port};
    root {folder};
    if ($origin = "") {{ return 403; }}
    location ~ (\\.deb|/by-hash/[^/]+/[0-9a-f]+)$ {{
      try_files /$host$uri @keep;
    }}
    location @keep {{
      proxy_pass http://127.0.0.1:{port};
      proxy_temp_path {folder}/{coming};
      proxy_store {folder}/$host$uri;
      proxy_store_access user:rw group:r all:r;
    }}
    location / {{
      proxy_pass http://127.0.0.1:{port};
    }}
  }}
  server {{
    listen 127.0.0.1:{port};
    access_log off;
    proxy_cache recent;
    proxy_cache_key $host$uri;
    proxy_cache_valid 200 10m;
    proxy_cache_lock on;
    proxy_cache_lock_age 10m;
    proxy_cache_lock_timeout 10m;
    proxy_ignore_headers Cache-Control Expires Set-Cookie Vary X-Accel-Expires;
    proxy_next_upstream error timeout;
    # What comes is signed, and apt checks that; the machine's own authorities are not the gateway's.
    proxy_ssl_verify off;
    proxy_ssl_server_name on;
    proxy_ssl_name $host;
    location / {{
      {passing}
    }}
  }}
}}
"""


def config(mirror: Mirror, network: Network) -> str:
    """nginx's configuration for the gateway of `network`, whose hosts are given what `mirror` has."""
    origins = {split.hostname: split for split in map(urlsplit, (mirror.security, mirror.archive))}
    servers = {f"{name}": _server(split) for name, split in origins.items()}
    passing = "proxy_pass $origin;"
    if mirror.proxy:
        # A proxy wants the whole address in the first line of a request; nginx writes there what `rewrite` leaves.
        servers = {"proxy": _server(urlsplit(mirror.proxy))}
        passing = 'rewrite ^(.*)$ "://$http_host$1"; rewrite ^(.*)$ "http$1" break; proxy_pass http://proxy;'
    return _CONFIG.format(
        user=USER,
        folder=FOLDER,
        coming=_coming(network),
        address=network.gateway,
        port=PROXY_PORT,
        origins="".join(f"    {name} {split.scheme}://{name};\n" for name, split in origins.items()),
        upstreams="".join(f"  upstream {name} {{ server {server}; }}\n" for name, server in servers.items()),
        passing=passing,
    )


def open_folder(network: Network) -> None:
    """The folder that all labs share, without what this gateway's last proxy left half-written."""
    PACKAGES.mkdir(parents=True, exist_ok=True)
    os.chown(PACKAGES, UID, UID)
    remove_tree(PACKAGES / _coming(network))


def _server(uri: SplitResult) -> str:
    return f"{uri.hostname}:{uri.port or (443 if uri.scheme == 'https' else 80)}"


def _coming(network: Network) -> str:
    return f".coming-{network.bridge}"
