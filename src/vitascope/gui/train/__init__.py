"""The parts of the Train and Models docks."""
