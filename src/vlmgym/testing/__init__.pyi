from .checks import check_game as check_game
from .checks import iter_checks as iter_checks
