"""What runs Facegrid: a cluster on one machine (`local`), containers (the files beside this one), and what uses it."""
