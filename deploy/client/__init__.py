"""Using a gateway, without a terminal: its HTTP API, and the work that takes many requests."""
