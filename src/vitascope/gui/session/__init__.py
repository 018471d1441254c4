"""What a window of napari held, kept so that nothing is lost: the last results, and what was painted."""
