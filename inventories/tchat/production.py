"""tchat/production as pyinfra reads it."""

from mainstay.inventory.groups import groups

globals().update(groups(__file__))
