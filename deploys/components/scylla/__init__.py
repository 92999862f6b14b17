"""ScyllaDB: nodes of one cluster, its keyspaces and roles, repaired one after the other."""
