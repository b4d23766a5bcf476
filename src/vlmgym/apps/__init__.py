"""Commands that are small programs of their own: the demo, the gallery, playing in a browser."""
