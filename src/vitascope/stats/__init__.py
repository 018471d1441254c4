"""Pure functions on numbers and tables."""
