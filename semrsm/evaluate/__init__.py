"""What an RSM is good for: retrieval, predictions, views."""
