"""What every room may use: errors, whole files, signals, locks, progress; it knows nothing of the rest."""
