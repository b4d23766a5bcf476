"""The study along the lines of the paper: what its runs have measured, what follows, its page."""
