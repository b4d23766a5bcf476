"""Which games this package has, by name, and where each is written.

The one list of them: the registry, the Gymnasium ids, the documents and the tests follow it. It
imports nothing, so that names are known before any game is loaded.
"""

BUNDLED = {
    "2048": "vlmgym.games.game2048:Game2048",
    "ShisenSho": "vlmgym.games.shisen_sho:ShisenSho",
    "ShisenShoPhotos": "vlmgym.games.shisen_sho_photos:ShisenShoPhotos",
    "Swap": "vlmgym.games.swap:Swap",
    "Minesweeper": "vlmgym.games.minesweeper:Minesweeper",
    "Sokoban": "vlmgym.games.sokoban:Sokoban",
    "SlidingPuzzle": "vlmgym.games.sliding:SlidingPuzzle",
    "FrozenLake": "vlmgym.games.frozen_lake:FrozenLake",
    "LightsOut": "vlmgym.games.lights_out:LightsOut",
    "Sudoku": "vlmgym.games.sudoku:Sudoku",
    "Binairo": "vlmgym.games.binairo:Binairo",
    "Queens": "vlmgym.games.queens:Queens",
    "RushHour": "vlmgym.games.rush_hour:RushHour",
    "TowersOfHanoi": "vlmgym.games.towers_of_hanoi:TowersOfHanoi",
    "Pipes": "vlmgym.games.pipes:Pipes",
    "FloodIt": "vlmgym.games.flood_it:FloodIt",
    "Jigsaw": "vlmgym.games.jigsaw:Jigsaw",
    "Set": "vlmgym.games.set:Set",
    "Snake": "vlmgym.games.snake:Snake",
    "Tetris": "vlmgym.games.tetris:Tetris",
    "TicTacToe": "vlmgym.games.tic_tac_toe:TicTacToe",
    "ConnectFour": "vlmgym.games.connect_four:ConnectFour",
    "Memory": "vlmgym.games.memory:Memory",
    "Battleship": "vlmgym.games.battleship:Battleship",
}
"""The class of each game."""

EXTRA_GAMES = {"Breakout": ("vlmgym.games.external.breakout:breakout", "ale_py")}
"""Games that need an extra: where they are made, and the module that must be installed for them to
be listed.
"""
