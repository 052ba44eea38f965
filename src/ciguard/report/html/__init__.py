"""The report of a session: one HTML file that needs nothing else and in which nothing of a stranger's acts."""
