"""Keeping the agent from the credential and the network, and starting it."""
