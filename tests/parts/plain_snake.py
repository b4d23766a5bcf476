"""Snake as plain lists, and a search over all snakes of a small board."""

from __future__ import annotations

from collections import deque
from functools import lru_cache

from vlmgym.core import State, draw_below

SIGNS = "_#*@X^>v<"  # floor, wall, food, head, crashed head, and the body by its moves
STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))
Cell = tuple[int, int]
Trail = tuple[Cell, ...]  # the head first


class Plain:
    """A game as a list of cells, the head first, with sets of walls and food."""

    def __init__(self, state: State, row: int) -> None:
        signs = {
            (r, c): SIGNS[value]
            for r, values in enumerate(state.board[row].tolist())
            for c, value in enumerate(values)
        }
        self.cells = sorted(signs)
        self.seed = int(state.seed[row])
        self.turn = int(state.steps[row])
        self.walls = {cell for cell, sign in signs.items() if sign == "#"}
        self.food = {cell for cell, sign in signs.items() if sign == "*"}
        self.snake = [cell for cell, sign in signs.items() if sign == "@"]
        while True:
            row_of, column = self.snake[-1]
            behind = [
                (row_of - down, column - right)
                for (down, right), sign in zip(STEPS, "^>v<", strict=True)
                if signs.get((row_of - down, column - right)) == sign
            ]
            if not behind:
                break
            self.snake.append(behind[0])
        self.over = False
        self.crashed = False

    def ahead(self, move: int) -> Cell:
        return self.snake[0][0] + STEPS[move][0], self.snake[0][1] + STEPS[move][1]

    def play(self, move: int) -> int:
        """Returns what is gained."""
        self.turn += 1
        target = self.ahead(move)
        if target == self.snake[1]:
            return 0
        eats = target in self.food
        stays = self.snake if eats else self.snake[:-1]
        if target not in self.cells or target in self.walls or target in stays:
            self.over = self.crashed = True
            return 0
        self.snake = [target, *stays]
        if not eats:
            return 0
        self.food.remove(target)
        free = [cell for cell in self.cells if cell not in self.walls and cell not in self.snake]
        if free:
            self.food.add(free[draw_below(self.seed, self.turn, 0, len(free))])
        else:
            self.over = True
        return 1

    def lines(self) -> list[str]:
        signs = dict.fromkeys(self.cells, "_")
        signs |= dict.fromkeys(self.walls, "#") | dict.fromkeys(self.food, "*")
        signs[self.snake[0]] = "X" if self.crashed else "@"
        for ahead, cell in zip(self.snake, self.snake[1:], strict=False):
            step = ahead[0] - cell[0], ahead[1] - cell[1]
            signs[cell] = "^>v<"[STEPS.index(step)]
        rows = max(self.cells)[0] + 1
        return [
            "".join(signs[cell] for cell in self.cells if cell[0] == row) for row in range(rows)
        ]


class Every:
    """A plain search over all snakes of a board, of which only walls and size count."""

    def __init__(self, rows: int, cols: int, walls: frozenset[Cell]) -> None:
        self.free = {(r, c) for r in range(rows) for c in range(cols)} - walls
        self.lives = lru_cache(None)(self._lives)

    def after(self, snake: Trail, eaten: frozenset[Cell] = frozenset()) -> list[Trail]:
        """The snakes after one move that does not crash."""
        found = []
        for down, right in STEPS:
            target = snake[0][0] + down, snake[0][1] + right
            stays = snake if target in eaten else snake[:-1]
            if target in self.free and target not in stays and target not in snake[1:2]:
                found.append((target, *stays))
        return found

    def _lives(self, snake: Trail, blocked: Cell | None) -> bool:
        """Whether the snake can go on for ever without a cell: it does if it can go on for more
        moves than there are snakes, so if some are left when all that cannot are taken away.
        """
        ways = {snake: None}
        todo = [snake]
        while todo:
            here = todo.pop()
            ways[here] = [new for new in self.after(here) if new[0] != blocked]
            for new in ways[here]:
                if new not in ways:
                    ways[new] = None
                    todo.append(new)
        backward = {here: [] for here in ways}
        left = {here: len(news) for here, news in ways.items()}
        for here, news in ways.items():
            for new in news:
                backward[new].append(here)
        stuck = [here for here, count in left.items() if count == 0]
        dead = set(stuck)
        while stuck:
            for before in backward[stuck.pop()]:
                left[before] -= 1
                if left[before] == 0 and before not in dead:
                    dead.add(before)
                    stuck.append(before)
        return snake not in dead

    def safe_way(self, snake: Trail, food: Cell) -> int | None:
        """Moves of a shortest way to the food after which the snake can live on; None if none."""
        seen = {snake}
        queue = deque([(snake, 0)])
        while queue:
            here, moves = queue.popleft()
            for new in self.after(here, frozenset([food])):
                if new[0] == food and (len(new) == len(self.free) or self.lives(new, None)):
                    return moves + 1
                if new[0] != food and new not in seen:
                    seen.add(new)
                    queue.append((new, moves + 1))
        return None
