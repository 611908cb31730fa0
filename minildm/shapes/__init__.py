"""Captioned shapes: scenes of two objects, the grammar of their captions, and their judge."""
