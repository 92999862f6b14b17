"""Real Debian hosts on one machine: systemd-nspawn, an overlay each, a bridge, a gateway for packages and names."""

from mainstay.lab.inventories import Wanted
from mainstay.lab.lab import Lab
from mainstay.lab.overlay import HostOverlay, Overlay, read_overlay

__all__ = ["HostOverlay", "Lab", "Overlay", "Wanted", "read_overlay"]
