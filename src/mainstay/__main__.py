"""Entry point: `mainstay` and `python -m mainstay`."""

from __future__ import annotations

import sys

# Commands that connect to nothing start in half the time without pyinfra.
OFFLINE = {"check", "schema", "init", "secrets", "lab", "render", "--help", "--version"}


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    if words and words[0] not in OFFLINE:
        # Importing it patches the standard library for gevent, so it comes before everything else.
        import pyinfra_cli  # noqa: F401
    from mainstay.cli import run

    sys.exit(run())


if __name__ == "__main__":
    main()
