"""Mainstay: runbooks that run. Describe a system once; bring its hosts to it, staging first, over SSH, no agent."""

__version__ = "0.1.0"
