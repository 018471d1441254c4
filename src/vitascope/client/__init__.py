"""The client of a service: the same ``run`` on another machine."""
