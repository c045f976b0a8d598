"""Triggers of this package, which run in the triggerer."""
