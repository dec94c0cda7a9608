"""The embedded collection."""
