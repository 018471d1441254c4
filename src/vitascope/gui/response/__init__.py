"""The parts of the dock Response."""
