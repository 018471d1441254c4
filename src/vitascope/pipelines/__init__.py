"""How it is run: one module per task, one public ``run``."""
