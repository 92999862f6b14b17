"""What a host should be. Entry files only call; modules in here only define."""
