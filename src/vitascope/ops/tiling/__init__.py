"""Large arrays in tiles and pieces."""
