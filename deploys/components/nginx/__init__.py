"""nginx: the site's front on web hosts, the switch between slots on app hosts."""
