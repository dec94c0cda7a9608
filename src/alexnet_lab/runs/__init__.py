"""The run folder: no other room knows what lies in it."""
