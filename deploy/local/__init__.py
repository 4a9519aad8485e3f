"""A whole cluster as child processes of one: `cluster` puts it together, the rest is what it stands on."""
