"""Whole plates: job, journal, tables and results."""
