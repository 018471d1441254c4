"""Whole plates as instruments write them."""
