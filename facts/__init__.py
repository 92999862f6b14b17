"""What a host is: pyinfra facts with pure parsers."""
