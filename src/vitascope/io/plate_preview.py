"""An old import path, see :mod:`vitascope.core.aliases`."""

from vitascope.core.aliases import moved

__getattr__ = moved(__name__)
