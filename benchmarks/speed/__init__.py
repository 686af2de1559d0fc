"""The race beside named peers, and what the pages and the sliders cost in seconds."""
