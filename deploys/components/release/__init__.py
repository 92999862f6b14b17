"""Releases: artefacts of the pinned versions, unpacked and complete on the hosts that run them."""
