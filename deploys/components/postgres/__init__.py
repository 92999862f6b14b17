"""PostgreSQL: one cluster, its databases, its roles by least privilege."""
