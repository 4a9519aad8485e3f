"""Who plays in `facegrid demo`: `cast` says who does what, `shoppers` invents people, `portrait` paints them."""
