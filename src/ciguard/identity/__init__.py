"""Who the job is: fetching, verifying and matching its OIDC token."""
