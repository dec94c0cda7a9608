"""Experiments of the paper: definition, statistics, verdict."""
