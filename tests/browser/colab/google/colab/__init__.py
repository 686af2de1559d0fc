"""Stands in for Colab's own package: there, it is imported in every kernel before the first cell runs."""
