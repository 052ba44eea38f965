"""Wire formats: bytes to operations and results, and back; no sockets, no policy."""
