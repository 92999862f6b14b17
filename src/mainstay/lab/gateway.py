"""The gateway: the one host of a lab that sees the world outside, and gives the others names and packages."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from mainstay.lab import cgroups
from mainstay.lab.addresses import Network
from mainstay.lab.identity import PROXY_PORT, Identity, imprint
from mainstay.lab.image import ensure
from mainstay.lab.machine import Machine
from mainstay.lab.mirror import Mirror, resolved
from mainstay.lab.outside import Say, mounts_below, remove_tree, run
from mainstay.lab.paths import PACKAGES, LabPaths
from mainstay.lab.recipe import digest

DEBIAN = 12
_PROGRAMS = ("dnsmasq-base", "apt-cacher-ng", "chrony")
# The user's number is fixed, because files in the cache of packages belong to it across images.
_INSTALL = f"""
set -eu
export DEBIAN_FRONTEND=noninteractive
useradd --system --uid 880 --home-dir /var/cache/apt-cacher-ng --shell /usr/sbin/nologin apt-cacher-ng
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 0755 /usr/sbin/policy-rc.d
apt-get -q update
apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io install {" ".join(_PROGRAMS)}
rm -rf /usr/sbin/policy-rc.d /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/cache/apt/*.bin
systemctl --quiet enable lab-dns.service lab-time.service apt-cacher-ng.service
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
# Instead of Debian's own, which sends requests on to groups of mirrors: here a host's mirror is the one it names.
# Indexes are asked for again after ten minutes, not after each host. Packages are never thrown away by age.
_PROXY = """CacheDir: /var/cache/apt-cacher-ng
LogDir: /var/log/apt-cacher-ng
SupportDir: /usr/lib/apt-cacher-ng
FreshIndexMaxAge: 600
ExThreshold: 0
ReportPage:
"""
_CONTENT_LENGTH = re.compile(rb"^content-length:\s*(\d+)", re.IGNORECASE | re.MULTILINE)


def ensure_image(base: Path, mirror: Mirror, say: Say) -> Path:
    """The gateway's layer on the base image: what it needs beyond a host, installed once."""
    name = f"gateway-{digest([base.name, _INSTALL, _DNS_UNIT, _TIME_UNIT, _PROXY])}"
    return ensure(name, lambda folder: _build(folder, base, mirror), say)


def machine(network: Network, paths: LabPaths, image: Path, base: Path) -> Machine:
    """The gateway of a lab, as a machine to start and stop."""
    binds = ((_packages(paths) / "root", "/var/cache/apt-cacher-ng"),)
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
    proxy = f"Proxy: {mirror.proxy}\n" if mirror.proxy else ""
    (etc / "apt-cacher-ng/zz_debconf.conf").unlink(missing_ok=True)
    (etc / "apt-cacher-ng/acng.conf").write_text(f"Port: {PROXY_PORT}\nBindAddress: {network.gateway}\n{_PROXY}{proxy}")


def write_names(gateway: Machine, names: Mapping[str, Iterable[str]]) -> None:
    """Which names each address has; a running gateway must be told to read them (`systemctl reload lab-dns`)."""
    rows = [f"{address} {' '.join(known)}\n" for address, known in names.items()]
    (gateway.root / "etc/lab-hosts").write_text("".join(rows))


def keep_packages(paths: LabPaths) -> None:
    """Takes what a gateway downloaded into the cache that all labs share; safe while the gateway runs.

    Only what never changes under its name is taken (packages, and indexes by their hash), and only whole files.
    """
    upper = _packages(paths) / "upper"
    for folder, _, files in os.walk(upper):
        for name in files:
            body = Path(folder, name)
            if name.endswith(".deb") or ("/by-hash/" in folder and not name.endswith(".head")):
                _keep(body, PACKAGES / body.relative_to(upper))


def _keep(body: Path, kept: Path) -> None:
    head = body.with_name(body.name + ".head")
    length = _CONTENT_LENGTH.search(head.read_bytes()) if head.is_file() else None
    if length is None or body.stat().st_size != int(length[1]) or kept.exists():
        return
    _make_folders(kept.parent)
    for file, target in ((head, kept.with_name(head.name)), (body, kept)):
        target.unlink(missing_ok=True)
        os.link(file, target)


def _make_folders(folder: Path) -> None:
    """Folders of the shared cache, owned as the cache is: the gateway's proxy writes into them through the overlay."""
    if not folder.is_dir():
        _make_folders(folder.parent)
        folder.mkdir(exist_ok=True)
        owner = PACKAGES.stat()
        os.chown(folder, owner.st_uid, owner.st_gid)


def open_cache(paths: LabPaths) -> None:
    """The shared cache, with a layer of this lab's own on it: two proxies never write to the same file."""
    PACKAGES.mkdir(parents=True, exist_ok=True)
    os.chown(PACKAGES, 880, 880)
    own = _packages(paths)
    remove_tree(own)
    for name in ("upper", "work", "root"):
        (own / name).mkdir(parents=True)
    os.chown(own / "upper", 880, 880)
    options = f"lowerdir={PACKAGES},upperdir={own}/upper,workdir={own}/work,volatile"
    run(["mount", "-t", "overlay", "overlay", "-o", options, own / "root"])


def has_cache(paths: LabPaths) -> bool:
    """Whether the gateway's cache of packages is mounted."""
    return bool(mounts_below(_packages(paths) / "root"))


def _packages(paths: LabPaths) -> Path:
    return paths.root / "packages"


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
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n" + resolved(mirror))
    proxy = f'Acquire::http::Proxy "{mirror.proxy}";\n' if mirror.proxy else ""
    (root / "etc/apt/apt.conf.d/30proxy").write_text(proxy)
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
