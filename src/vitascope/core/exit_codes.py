"""What a command's exit code says; 0 is success, and typer's own errors are 2 too."""

USAGE = 2
"""Something given cannot be used."""

PARTIAL = 3
"""All was tried, and some images have no result."""

DRIFT = 4
"""A plate was stopped because its images had drifted from the reference; the same command resumes it."""

NO_OPENGL = 77
"""Qt starts but cannot draw; what test suites take for "skipped"."""

INTERRUPTED = 130
"""Ctrl-C: 128 and the number of the signal, as shells count."""
