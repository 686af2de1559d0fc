"""The exercises in a workspace of one's own: pieces of the library to write anew, what checks them, and what grades them."""
