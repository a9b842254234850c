"""RSMs -> files that other tools read: one row of TARGETS for each."""
