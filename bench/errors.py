"""What the bench says when it cannot go on."""


class BenchError(Exception):
    """The message is one sentence: what was found, and what was expected or can be done."""
