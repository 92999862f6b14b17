"""The static frontend: assets first, index last, old assets kept for a while."""
