"""The docks, as the menu shows them."""
