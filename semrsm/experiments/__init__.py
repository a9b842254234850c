"""The experiments of Wald et al., NeurIPS 2024, each from one run file: tables and pictures."""
