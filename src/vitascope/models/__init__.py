"""The old place of :mod:`vitascope.networks`, for packages that were exported before."""
