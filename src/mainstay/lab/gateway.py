"""The gateway: the one host of a lab that sees the world outside, and gives the others names and packages."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mainstay.lab import cgroups, proxy
from mainstay.lab.addresses import Network
from mainstay.lab.identity import Identity, imprint
from mainstay.lab.image import ensure
from mainstay.lab.machine import Machine
from mainstay.lab.mirror import Mirror, resolved
from mainstay.lab.outside import Say, remove_tree, run
from mainstay.lab.paths import PACKAGES, LabPaths
from mainstay.lab.recipe import digest

DEBIAN = 12
_PROGRAMS = ("dnsmasq-base", "nginx", "chrony")
_INSTALL = f"""
set -eu
export DEBIAN_FRONTEND=noninteractive
useradd --system --uid {proxy.UID} --home-dir /nonexistent --shell /usr/sbin/nologin {proxy.USER}
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 0755 /usr/sbin/policy-rc.d
apt-get -q update
apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io install {" ".join(_PROGRAMS)}
rm -rf /usr/sbin/policy-rc.d /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/cache/apt/*.bin
systemctl --quiet disable nginx.service
systemctl --quiet enable lab-dns.service lab-time.service lab-packages.service
"""
# Only the lab's own names: a host looks up nothing outside, because packages come by the proxy.
_DNS_UNIT = """[Unit]
Description=Names of the lab's hosts

[Service]
ExecStart=/usr/sbin/dnsmasq --keep-in-foreground --no-resolv --no-hosts --addn-hosts=/etc/lab-hosts --local-ttl=1
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
# The machine's own clock, which hosts watch and cannot set: that it is followed is proven, not that it is right.
_TIME_UNIT = """[Unit]
Description=Time for the lab's hosts

[Service]
ExecStart=/usr/sbin/chronyd -x -d "local stratum 8" "allow" "cmdport 0"
RuntimeDirectory=chrony
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""


def ensure_image(base: Path, mirror: Mirror, say: Say) -> Path:
    """The gateway's layer on the base image: what it needs beyond a host, installed once."""
    name = f"gateway-{digest([base.name, _INSTALL, _DNS_UNIT, _TIME_UNIT, proxy.UNIT])}"
    return ensure(name, lambda folder: _build(folder, base, mirror), say)


def machine(network: Network, paths: LabPaths, image: Path, base: Path) -> Machine:
    """The gateway of a lab, as a machine to start and stop."""
    binds = ((PACKAGES, proxy.FOLDER),)
    layers = (image, base)
    return Machine(network.gateway_link, paths.gateway, layers, "gateway", network.gateway, binds)


def imprint_disk(gateway: Machine, network: Network, paths: LabPaths, mirror: Mirror) -> None:
    """Its identity, the way out, and the mirror's addresses."""
    imprint(gateway.root, Identity("gateway", "lab", network.gateway, router=network.outside), network, paths)
    etc = gateway.root / "etc"
    (etc / "hosts").write_text("127.0.0.1 localhost\n127.0.1.1 gateway\n" + resolved(mirror))
    (etc / "apt/apt.conf.d/30proxy").unlink()
    # Debian's pool of time servers is the gateway.
    (etc / "dnsmasq.conf").write_text(f"address=/pool.ntp.org/{network.gateway}\n")
    (etc / "lab-packages.conf").write_text(proxy.config(mirror, network))
    proxy.open_folder(network)


def write_names(gateway: Machine, names: Mapping[str, Iterable[str]]) -> None:
    """Which names each address has; a running gateway must be told to read them (`systemctl reload lab-dns`)."""
    rows = [f"{address} {' '.join(known)}\n" for address, known in names.items()]
    (gateway.root / "etc/lab-hosts").write_text("".join(rows))


def _build(folder: Path, base: Path, mirror: Mirror) -> None:
    """Installs the gateway's programs in a container that shares the machine's network and its way to the mirror."""
    work = folder.with_name(f"{folder.name}.work")
    root = folder.with_name(f"{folder.name}.root")
    for path in (work, root):
        remove_tree(path)
    for path in (folder, work, root):
        path.mkdir()
    run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={base},upperdir={folder},workdir={work}", root])
    (root / "etc/systemd/system/lab-dns.service").write_text(_DNS_UNIT)
    (root / "etc/systemd/system/lab-time.service").write_text(_TIME_UNIT)
    (root / "etc/systemd/system/lab-packages.service").write_text(proxy.UNIT)
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n" + resolved(mirror))
    by_proxy = f'Acquire::http::Proxy "{mirror.proxy}";\n' if mirror.proxy else ""
    (root / "etc/apt/apt.conf.d/30proxy").write_text(by_proxy)
    argv = ["systemd-nspawn", "--quiet", "--register=no", "--as-pid2", "--settings=no", "--pipe"]
    argv += [
        *cgroups.unit_arguments(),
        "--resolv-conf=copy-host",
        "--timezone=off",
        f"--machine=mslab-build-{os.getpid()}",
    ]
    run([*argv, f"--directory={root}", "sh", "-c", _INSTALL])
    for path in (root, work):
        remove_tree(path)
