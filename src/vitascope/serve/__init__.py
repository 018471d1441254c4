"""The service: the same jobs over HTTP, on one machine, for scripts, other programs and a small web page."""
