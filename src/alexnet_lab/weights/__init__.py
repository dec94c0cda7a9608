"""Weights in and out: runs and other programs' files to networks, networks to files that other programs read."""
