"""What runs a training: one loop, and all that lets it be stopped, resumed and moved."""
