"""Image files, read lazily and written whole."""
