"""Training: data, supervised cold start, GRPO, and the embedded tiny model."""
