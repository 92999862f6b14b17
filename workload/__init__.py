"""The stand-in programs that the example system runs in the lab, and what builds them into release artefacts."""
