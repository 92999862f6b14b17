"""What this build is; `workload/build.py` writes the real one into each artefact."""

NAME = "backend"
ROLE = "app"
VERSION = "0.0.0"
FAULT = "none"
