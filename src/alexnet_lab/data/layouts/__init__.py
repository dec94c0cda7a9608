"""The ways in which collections of pictures lie on a disk, one a file."""
