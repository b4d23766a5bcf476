from .core import NO_ACTION as NO_ACTION
from .core import concat as concat
from .core import seeds_for as seeds_for
from .dialogue import judge as judge
from .dialogue import parse as parse
from .dialogue import prompt_text as prompt_text
from .episodes import Task as Task
from .episodes import play as play
from .episodes import read_trace as read_trace
from .episodes import walk as walk
from .games import GAMES as GAMES
from .games import get_game as get_game
from .games import load_state as load_state
from .games.external import from_gymnasium as from_gymnasium
from .render import LOOKS as LOOKS
from .render import Look as Look
from .render import get_look as get_look
from .render import render as render

__version__: str
