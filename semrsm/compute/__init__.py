"""One run: an activation file -> an RSM file; two samples; every matcher tried."""
