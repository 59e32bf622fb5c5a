"""Converts decoder checkpoints (GLM, Llama) to the package that an agent serves."""
