"""The session directory: events, hash chain, objects, manifest, verification."""
