"""What only the book uses, beside the chapter that explains it. Never installed."""
