"""The rendered book: its pages, and what builds them."""
