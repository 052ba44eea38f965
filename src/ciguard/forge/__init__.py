"""GitHub and GitLab: the same protocol twice."""
