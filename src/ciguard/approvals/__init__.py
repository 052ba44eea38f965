"""Asking a human about a held operation."""
