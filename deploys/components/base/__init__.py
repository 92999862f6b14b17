"""The ground every host stands on: operators, sshd, time, logs, updates, firewall."""
