"""Streaming replicas of the cluster: built from nothing, following by TLS, watched."""
