"""One package a component: its model, its files, its deploy."""
