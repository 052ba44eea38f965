"""Stand-ins that ciguard's demo, its tests and its users' tests run against, all on loopback."""
