"""Object stores: files that lie behind an address."""
