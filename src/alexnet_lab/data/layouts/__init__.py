"""The ways in which collections of images lie on a disk, one per file."""
