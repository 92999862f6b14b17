"""Entry: downloads what `deploys/site.py` would install, on every host before the first batch of a run."""

from deploys.whole import fetch

fetch()
