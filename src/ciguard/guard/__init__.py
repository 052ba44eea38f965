"""The server the agent talks to: one pipeline from request to recorded, decided, masked answer."""
