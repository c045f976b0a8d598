"""Operators of this package."""
