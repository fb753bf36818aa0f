"""pyrt: strategies in Python, native speed, and orders that are never lost and never doubled."""
