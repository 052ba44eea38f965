"""What the maintainer wants: the policy file, how it is trusted, and what it decides."""
