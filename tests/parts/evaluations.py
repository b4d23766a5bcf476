"""Evaluations that tests make: a player's own, and made-up ones."""

from dataclasses import asdict, replace

from vlmgym.dialogue.reply import write_reply
from vlmgym.episodes.records import Episode, EvaluationRun
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import TraceWriter, load_trace
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.players.simple import Random, Scripted

NASTY = "a|b\n| x | `c\\|d` <b> $1_2$ /../"


def named(player, name):
    player.name = name
    return player


def describer(change, name="describer"):
    """A player who writes the board that ``change`` makes of the true symbols (-1 = leave it out),
    and an action.
    """

    def reply(game, state):
        scene = game.scene(state)
        symbols = change(scene.symbols[0].copy(), len(scene.names))
        text = "\n".join("|".join("?" if s < 0 else scene.names[s] for s in row) for row in symbols)
        return write_reply(text, "so", game.encode(state.level, int(state.steps[0]) % 2))

    return named(Scripted(reply), name)


def next_symbol(symbols, count):
    """Every cell of the last column is taken for the next symbol; the first cell is never
    stated.
    """
    symbols[:, -1] = (symbols[:, -1] + 1) % count
    symbols[0, 0] = -1
    return symbols


def run(player, folder, how=None, **task):
    evaluate(
        player,
        Task(**{"level": "easy", "look": "tiny", **task}),
        how or Evaluation(episodes=12, turns=3),
        folder,
        False,
    )
    return folder


def written(folder, player, values, repeats=1, seeds=None, failed=()):
    """A folder with the trace of made-up episodes; ``values``: for each episode, the success of its
    turns.
    """
    run(Random(), folder / "base", Evaluation(episodes=1, turns=1))
    turn = load_trace(folder / "base/trace.jsonl").turns[0]
    settings = {**asdict(Evaluation()), "repeats": repeats, "episodes": len(values) // repeats}
    with TraceWriter(folder / "trace.jsonl") as writer:
        writer.write(EvaluationRun(player, "2048", "easy", "tiny", evaluation=settings))
        for number, hits in enumerate(values):
            seed = seeds[number] if seeds else number // repeats
            for place, hit in enumerate(hits):
                terms = {**turn.terms, "game": 1.0 if hit else -1.0}
                writer.write(
                    replace(turn, episode=number, turn=place, seed=seed, terms=terms, gain=4 * hit)
                )
            end = "failed" if number in failed else "stopped"
            writer.write(
                Episode(
                    number,
                    seed,
                    len(hits),
                    4 * sum(hits),
                    2.0 * sum(hits) - len(hits),
                    end,
                    number % repeats,
                )
            )
    return folder
