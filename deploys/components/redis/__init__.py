"""Redis: one server with users by ACL, a memory limit and a policy."""
