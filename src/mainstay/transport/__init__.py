"""How commands reach a host: one root process a connection that runs them all, and what is known of their answers."""
