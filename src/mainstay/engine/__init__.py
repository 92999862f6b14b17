"""The rollout engine: batches, gate, lease, journal and put-back, ledger. It knows no component and no system."""
