"""Networks of other programs, run as they are: tried in a process of their own, measured, and tiled."""
