"""What makes the files in `data/` and the pictures of the README."""
