"""Every option of a run: type, range, unit, meaning, and what cannot work together."""
