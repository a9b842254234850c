"""Files: activations, labels and RSMs; nothing here computes a similarity."""
