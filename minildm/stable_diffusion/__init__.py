"""Stable Diffusion by the book's own code: its networks, with the names that its files use."""
