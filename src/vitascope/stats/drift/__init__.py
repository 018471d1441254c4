"""Whether images still look like those one trusts: two-sample tests, and an online test with a stated run length."""
