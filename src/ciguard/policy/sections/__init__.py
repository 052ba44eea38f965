"""The sections of a policy file, a file each."""
