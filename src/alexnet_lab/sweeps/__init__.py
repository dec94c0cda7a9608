"""Plan the jobs of a sweep, run them, show them."""
