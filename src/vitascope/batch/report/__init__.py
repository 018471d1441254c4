"""A report of a plate or study: one HTML file that opens without a network and prints to A4."""
