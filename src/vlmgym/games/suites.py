"""Games chosen by what they are: by tags, by names, or all of this package."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from vlmgym.core import ConfigError
from vlmgym.core.contract import TAGS
from vlmgym.games.registry import GAMES, game_names, get_game, own_name

ALL = "all"
"""The word for every game of this package."""


def chosen_games(words: object, field: str) -> list[str]:
    """The names of the games that a word, or a list of them, stands for; each once, in the order of
    the list of games.

    Args:
        words: tags (:data:`vlmgym.core.contract.TAGS`), names, or :data:`ALL`.
        field: what is read, for the message.

    Raises:
        ConfigError: a word is none of these, or stands for no game.
    """
    listed = [words] if isinstance(words, str) else words
    if not isinstance(listed, list) or not listed:
        raise ConfigError(field, words, "a tag, a game, or a list of them")
    chosen = dict[str, None]()
    for word in listed:
        chosen |= dict.fromkeys(_games_of(word, field))
    order = [*GAMES]
    return sorted(chosen, key=lambda name: order.index(name) if name in order else len(order))


def _games_of(word: object, field: str) -> list[str]:
    if word == ALL:
        return [*GAMES]
    if isinstance(word, str) and word in TAGS:
        return [name for name, game in GAMES.items() if word in game.tags]
    is_name = isinstance(word, str | int) and not isinstance(word, bool)
    name = str(word)  # 2048 is a number in YAML
    if is_name and ":" in name:
        return [own_name(get_game(name))]
    if is_name and name in game_names():
        return [name]
    allowed = f"{ALL}, a tag ({', '.join(TAGS)}), or a game ({', '.join(game_names())})"
    raise ConfigError(field, word, allowed)


def spread_games(
    sections: Sequence[Any], field: str, held_out: Collection[str] = ()
) -> list[Mapping[str, Any]]:
    """Sections of tasks, those with ``games`` in place of ``game`` once for each of these games.

    Args:
        sections: mappings with the fields of a task.
        field: the name of the list, for messages.
        held_out: names of games that ``games`` leaves out.

    Raises:
        ConfigError: a section is no mapping, has both keys, or names or chooses nothing but games
            that are held out.
    """
    spread = []
    for number, section in enumerate(sections):
        where = f"{field}.{number}"
        if not isinstance(section, Mapping):
            raise ConfigError(where, section, "a mapping of settings")
        if "games" not in section:
            game = str(section.get("game", ""))
            if game in held_out:
                raise ConfigError(f"{where}.game", game, "a game that is not held out")
            spread.append(section)
            continue
        if "game" in section:
            raise ConfigError(f"{where}.game", section["game"], "game or games, not both")
        further = {key: value for key, value in section.items() if key != "games"}
        chosen = chosen_games(section["games"], f"{where}.games")
        kept = [name for name in chosen if name not in held_out]
        if not kept:
            raise ConfigError(f"{where}.games", section["games"], "a game that is not held out")
        spread += [{**further, "game": name} for name in kept]
    return spread
