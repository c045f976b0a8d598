"""What the hook tests use of it."""
