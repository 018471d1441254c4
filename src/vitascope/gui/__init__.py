"""The napari docks: the only place that knows Qt, napari and magicgui."""
