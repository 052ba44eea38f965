"""ciguard guards AI coding agents inside CI jobs."""

__version__ = "0.1.0"
