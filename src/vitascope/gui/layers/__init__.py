"""Between napari's layers and the vocabulary, both ways."""
