"""Log files of services: copied from the journal, rotated, and never larger than the inventory says."""
