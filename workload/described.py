"""Which stand-ins a system needs: its services as the inventory describes them."""

from __future__ import annotations

from dataclasses import dataclass

from workload.packing import PROJECT, BuildError

EXAMPLE = "everydayai"


@dataclass(frozen=True)
class Described:
    """One service: `program` is the first word of its command, `entry` what the inventory says of it."""

    system: str
    name: str
    kind: str
    role: str = "app"
    program: str = ""
    entry: str = ""


# The example needs nothing but Python to be built.
EXAMPLES = {
    "backend": Described(EXAMPLE, "backend", "python", "app", "venv/bin/uvicorn", "main:app"),
    "frontend": Described(EXAMPLE, "frontend", "static", "web"),
}


def services(system: str) -> dict[str, Described]:
    """The services of the system by name.

    Raises:
        BuildError: there is no such system, or its file is no inventory.
    """
    if system == EXAMPLE:
        return EXAMPLES
    import yaml  # the example is built by the standard library alone

    from mainstay.inventory import service_defaults

    path = PROJECT / "inventories" / system / "system.yaml"
    if not path.is_file():
        raise BuildError(f"found {system!r}, expected a system of inventories/, or a service of {EXAMPLE}")
    try:
        data = service_defaults.spread(yaml.safe_load(path.read_text(encoding="utf-8")))
        return {name: _described(system, name, values) for name, values in data["services"].items()}
    except (yaml.YAMLError, KeyError, AttributeError, TypeError, IndexError):
        raise BuildError(f"inventories/{system}/system.yaml: found no services, expected an inventory") from None


def _described(system: str, name: str, values: dict[str, str]) -> Described:
    words = str(values.get("exec", "")).split()
    entry = str(values.get("entry", ""))
    return Described(system, name, values["kind"], values.get("role", "app"), words[0] if words else "", entry)
