"""The parts of the Plate dock."""
