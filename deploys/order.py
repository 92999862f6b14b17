"""In which order a host's components are applied; which roles have a component is its model's to say (`ROLES`)."""

ORDER = [
    "base",
    "postgres",
    "pgbouncer",
    "redis",
    "scylla",
    # nginx before services: a release is proven first, then nginx sends it traffic.
    "nginx",
    "release",
    # Before services, whose first line is to be in their files too.
    "logs",
    # Before the service whose processes load the model.
    "ml",
    "service",
    "frontend",
    # After all that hosts wait for each other at: a replica is copied from a primary that is whole.
    "replication",
    # Last: what it measures is there.
    "monitoring",
]

# What `deploys/release.py` applies: releases alone, on a host that is otherwise left as it is.
RELEASES = ["release", "service", "frontend"]

# Before this one, hosts that are applied side by side wait for each other: here a release proves itself against the
# databases of other hosts.
PROVES = "service"
