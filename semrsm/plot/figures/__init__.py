"""Figures: arrays in, matplotlib figures out; nothing here reads a file."""
