"""Image files, read lazily and written whole.

The readers stood in this module itself before; scripts that import them from here still run.
"""

from vitascope.core.aliases import moved

__getattr__ = moved(__name__)
