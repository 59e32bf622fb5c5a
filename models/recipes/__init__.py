"""Recipes that make the sample models from pinned packages."""
