"""The parts of the docks that run a task: input, model, result and export."""
