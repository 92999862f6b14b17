"""What a command printed, as it came: a little of it in memory, what is more in a file without a name.

Twenty hosts that answer at length at the same time would else be all in memory until somebody reads them.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterator

# Of each command; what a plan or a verification asks has answers far below.
IN_MEMORY = 1 << 20


class Printed:
    """Pieces of output; one thread adds them, and whoever has the answer reads them afterwards."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  open as long as the answer is
        # The length of each piece; that of standard error less than 0.
        self._lengths = array("q")

    def add(self, is_error: bool, piece: bytes) -> None:
        """Takes what came next."""
        self._file.write(piece)
        length = -len(piece) if is_error else len(piece)
        if self._lengths and (self._lengths[-1] < 0) == is_error:
            self._lengths[-1] += length
        else:
            self._lengths.append(length)

    def pieces(self) -> Iterator[tuple[bool, bytes]]:
        """All of it; True is standard error."""
        self._file.seek(0)
        for length in self._lengths:
            yield length < 0, self._file.read(abs(length))
