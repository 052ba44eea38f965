"""A session in the forms that other programs take: one module for each."""
