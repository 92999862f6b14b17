"""Measures Mainstay on the lab, beside pyinfra, Ansible and what no tool can be faster than (`bin/bench`)."""
