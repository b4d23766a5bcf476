"""Who acts: every player maps states to reply texts."""
