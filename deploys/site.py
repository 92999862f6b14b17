"""Entry: every host, from bare to whole. `pyinfra inventories/<system>/<env>.py deploys/site.py` runs it too."""

from deploys.whole import apply

apply()
