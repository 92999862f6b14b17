"""A setting of a server that a host runs, with the reason for its value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["computed", "fixed", "inventory"]


@dataclass(frozen=True)
class Setting:
    """One setting: the value as the server reads it, and why it is that one.

    Attributes:
        name: of the setting.
        value: as it stands in the server's configuration.
        reason: the rule, as the configuration says it beside the value.
        source: `computed` from `of`, `fixed` for every host, or the `inventory`'s own.
        of: what it is computed from: `memory`, `cores`, `disk` as the host declares them, and keys of the inventory.
        instead_of: what the host's size gives, where the inventory's own value took its place.
    """

    name: str
    value: str
    reason: str
    source: Source = "computed"
    of: tuple[str, ...] = ()
    instead_of: Setting | None = None
