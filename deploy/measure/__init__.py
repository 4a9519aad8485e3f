"""How well an embedding space tells people apart: cores on arrays, without a cluster."""
