"""Entry: only the releases of a host's services, to the versions that are pinned; what `mainstay rollback` applies."""

from deploys.whole import releases

releases()
