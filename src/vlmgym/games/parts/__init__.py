"""What games are made of: how actions are named, boards, lines, paths, mazes, kinds of tiles."""
