"""Sessions for humans to read: the job summary and what follows it."""
