"""Services: what a release needs to run on a host, and how the next one takes over without losing a request."""
