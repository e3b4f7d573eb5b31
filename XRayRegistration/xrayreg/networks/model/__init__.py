"""The architectures, and the tables that build one by name."""
