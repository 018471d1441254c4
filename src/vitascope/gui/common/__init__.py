"""What all docks share: layout, forms, plots, the runner and words."""
