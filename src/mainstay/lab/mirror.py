"""Where packages come from: what the machine's own apt uses, so that the lab needs no way out of its own."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mainstay.errors import LabError
from mainstay.lab.outside import run

SUITES = {12: "bookworm", 13: "trixie"}
_OWN_SUITE = re.compile(r"(bookworm|trixie|stable|testing)(-[a-z]+)?")
# What a mirror that stands still in time, or a proxy, needs from every apt that uses it.
_CARRIED = ("Acquire::Check-Valid-Until", "Acquire::Check-Date")


@dataclass(frozen=True)
class Mirror:
    """The addresses of Debian's archive and of its security archive, apt's settings for them, and its proxy."""

    archive: str
    security: str
    settings: tuple[str, ...] = ()
    proxy: str = ""

    def sources(self, debian: int) -> str:
        """The deb822 sources of a host, as Debian's cloud images have them."""
        suite = SUITES[debian]
        return _stanza(self.archive, f"{suite} {suite}-updates") + "\n" + _stanza(self.security, f"{suite}-security")

    def one_line_sources(self, debian: int) -> str:
        """The same in the form that mmdebstrap reads."""
        suite = SUITES[debian]
        rows = ((self.archive, suite), (self.archive, f"{suite}-updates"), (self.security, f"{suite}-security"))
        return "".join(f"deb {uri} {name} main\n" for uri, name in rows)

    def names(self) -> set[str]:
        """The host names that downloads go to."""
        uris = [self.proxy] if self.proxy else [self.archive, self.security]
        return {name for uri in uris if (name := urlsplit(uri).hostname)}


def of_this_machine() -> Mirror:
    """The mirror of the machine's own apt.

    Raises:
        LabError: its sources name no Debian archive, or its proxy is of no use to the gateway (it listens on the
            machine's loopback, or the archive is fetched by HTTPS through it).
    """
    texts = [path.read_text(encoding="utf-8") for path in _source_files(Path("/etc/apt"))]
    return parse(texts, run(["apt-config", "dump"]))


def parse(sources: list[str], configuration: str) -> Mirror:
    """The mirror that these sources (either of apt's two forms) and this `apt-config dump` describe.

    Raises:
        LabError: as `of_this_machine`.
    """
    archive = security = ""
    for uri, suite in (entry for text in sources for entry in _entries(text)):
        match = _OWN_SUITE.fullmatch(suite.replace("/updates", "-security"))
        if match and match[2] == "-security":
            security = security or uri
        elif match:
            archive = archive or uri
    if not archive:
        raise LabError("/etc/apt: found no source of Debian's archive, expected where this machine installs from.")
    settings = dict(re.findall(r'^(\S+) "([^"]*)";$', configuration, re.MULTILINE))
    proxy = settings.get("Acquire::http::Proxy", "")
    if proxy and urlsplit(proxy).hostname in ("localhost", "127.0.0.1", "::1"):
        raise LabError(f"apt's proxy is {proxy}, which hosts of the lab cannot reach; expected an address outside.")
    if proxy and archive.startswith("https:"):
        raise LabError(
            f"/etc/apt: found {archive} behind apt's proxy {proxy}, expected an http: address beside a proxy."
        )
    carried = tuple(f'{key} "{settings[key]}";' for key in _CARRIED if key in settings)
    security = security or f"{archive.rstrip('/')}-security"
    return Mirror(archive.rstrip("/"), security.rstrip("/"), carried, proxy)


def resolved(mirror: Mirror, resolve: Callable[[str], str] = socket.gethostbyname) -> str:
    """Lines of /etc/hosts for the mirror's names, as the machine itself resolves them.

    The gateway then needs no DNS server outside: the machine's own often listens on its loopback only, or its
    /etc/hosts has the last word.

    Raises:
        LabError: a name does not resolve.
    """
    lines = []
    for name in sorted(mirror.names()):
        try:
            lines.append(f"{resolve(name)} {name}\n")
        except OSError as error:
            raise LabError(f"{name}, where this machine's packages come from, does not resolve: {error}.") from error
    return "".join(lines)


def _source_files(folder: Path) -> list[Path]:
    parts = folder / "sources.list.d"
    files = [folder / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]
    return [path for path in files if path.is_file()]


def _entries(text: str) -> list[tuple[str, str]]:
    """The (uri, suite) pairs of one file of sources."""
    found = re.findall(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)", text, re.MULTILINE)
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^(URIs|Suites|Types|Enabled):[ \t]*(.*)$", stanza, re.MULTILINE))
        if "deb" in fields.get("Types", "").split() and fields.get("Enabled", "yes").strip() != "no":
            uris, suites = fields.get("URIs", "").split(), fields.get("Suites", "").split()
            found += [(uri, suite) for uri in uris for suite in suites]
    return [(uri, suite) for uri, suite in found if urlsplit(uri).scheme in ("http", "https")]


def _stanza(uri: str, suites: str) -> str:
    # Hosts ask the gateway by HTTP, also for what it fetches by HTTPS; a tunnel through it could not be kept.
    uri = uri.replace("https://", "http://")
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    return f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {keyring}\n"
