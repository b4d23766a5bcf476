"""Players against each other: equal starts, both sides, nothing lost, nothing asked twice."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest

from parts.commands import eval_words
from parts.endpoint import Endpoint
from parts.evaluations import named
from parts.local_players import local_player
from vlmgym.cli.main import main
from vlmgym.core import ConfigError
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import TraceError, load_trace
from vlmgym.evals.duels import duel
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.leaderboards import leaderboard
from vlmgym.evals.rescoring import rescore
from vlmgym.evals.settings import Evaluation
from vlmgym.games.tic_tac_toe import TicTacToe
from vlmgym.models.loading import load
from vlmgym.players.base import Answer
from vlmgym.players.openai import OpenAIPlayer
from vlmgym.players.simple import Greedy, Oracle, Random, RandomLegal, Scripted
from vlmgym.report.page import write_report

TASK = Task(game="TicTacToe", level="tiny", look="tiny", prompt="brief")
FOUR = Task(game="ConnectFour", level="tiny", look="tiny", prompt="brief")
SIDES = ("first", "second")


def points(result):
    return {name: estimate["mean"] for name, estimate in result["points"].items()}


def played(player, opponent, task=TASK, out=None, **settings):
    settings = Evaluation(**{"episodes": 6, "oracle": False, **settings})
    return duel(player, opponent, task, settings, out, progress=False)


def traces(out):
    """The traces of a duel by role and side."""
    folders = {(path.parent.name, path.name[-6:].strip("-")): path for path in out.glob("eval/*/*")}
    return {place: load_trace(path / "trace.jsonl") for place, path in folders.items()}


@pytest.mark.parametrize("task", [TASK, FOUR], ids=lambda task: task.names.game)
def test_the_oracle_beats_a_random_player_from_either_side(task):
    result = played(Oracle(), RandomLegal(), task, episodes=20)
    assert all(result["points"][side]["low"] > 0.6 for side in SIDES), result["points"]
    for side in SIDES:
        counts = result["games"][side]
        assert counts["won"] + counts["drawn"] + counts["lost"] == 20
        assert counts["won"] + counts["drawn"] / 2 == 20 * result["points"][side]["mean"]
        assert counts["forfeited"] == counts["given"] == counts["failed"] == 0


def test_players_of_equal_strength_get_half_the_points():
    estimate = played(RandomLegal(1), RandomLegal(2), FOUR, episodes=200)["points"]["both"]
    assert estimate["low"] < 0.5 < estimate["high"]
    assert estimate["n"] == 200
    assert estimate["high"] - estimate["low"] < 0.15
    assert points(played(Random(), Random()))["both"] == 0.5


def test_swapped_players_get_the_other_points():
    there = played(Greedy(), RandomLegal(), repeats=2)
    back = played(RandomLegal(), Greedy(), repeats=2)
    assert points(there)["both"] == pytest.approx(1 - points(back)["both"], abs=1e-12)
    for side, other in (SIDES, SIDES[::-1]):
        counts, mirrored = there["games"][side], back["games"][other]
        for name, its_mirror in (("won", "lost"), ("drawn", "drawn"), ("lost", "won")):
            assert counts[name] == mirrored[its_mirror]


def test_each_start_is_played_from_both_sides_and_every_move_stands_in_a_trace(tmp_path):
    """Put together by turns, two traces are one game: each board is the other's after its move."""
    game = TASK.game
    result = played(RandomLegal(), Greedy(), out=tmp_path)
    of = traces(tmp_path)
    openings = {}
    for first, second in (("player", "opponent"), ("opponent", "player")):
        pair = of[first, "first"], of[second, "second"]
        assert [trace.run.player for trace in pair] == (
            ["random-legal", "greedy"] if first == "player" else ["greedy", "random-legal"]
        )
        openings[first] = [
            turn.load()[1].board.tolist() for turn in sorted(pair[0].turns, key=lambda t: t.episode)
            if turn.turn == 0
        ]  # fmt: skip
        ends = Counter()
        for episode in range(6):
            turns = [[t for t in trace.turns if t.episode == episode] for trace in pair]
            moves = [turns[k % 2][k // 2] for k in range(len(turns[0]) + len(turns[1]))]
            _, state = moves[0].load()
            for number, move in enumerate(moves):
                assert move.load()[1] == state
                assert state.level.side == ("X", "O")[number % 2]
                assert state.steps[0] == number
                state, _ = game.place(state, np.array([move.action]))
            assert state.terminated[0]
            ends[game.points(state if len(moves) % 2 == 0 else game.place(state, np.array([-1]))[0])[0]] += 1  # fmt: skip
        counts = result["games"]["first" if first == "player" else "second"]
        won, lost = ("won", "lost") if first == "player" else ("lost", "won")
        assert [ends[1.0], ends[0.5], ends[0.0]] == [counts[won], counts["drawn"], counts[lost]]
    assert openings["player"] == openings["opponent"]
    assert len({str(board) for board in openings["player"]}) > 1


class Counted(RandomLegal):
    """Counts what it is asked, and stops the run at one of its answers."""

    def __init__(self, salt=0, stop=0):
        super().__init__(salt)
        self.asked = Counter()
        self.left = stop or 10**9

    def answer(self, queries):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        for query in queries:
            for row in range(len(query.state)):
                state = query.state[row]
                self.asked[state.level.side, int(state.seed[0]), int(state.steps[0])] += 1
        return super().answer(queries)


def test_stopped_games_go_on_and_nothing_is_asked_twice(tmp_path):
    whole = played(Counted(1), Counted(2), FOUR, out=tmp_path / "whole")
    asked = [Counter(), Counter()]
    for stop in (1, 2, 3, 2):
        players = Counted(1, stop), Counted(2, stop + 1)
        with pytest.raises(KeyboardInterrupt):
            played(*players, FOUR, out=tmp_path / "run")
        for trace in (tmp_path / "run").glob("eval/*/*/trace.jsonl"):
            with trace.open("ab") as file:
                file.write(b'{"kind":"turn","epi')
        asked = [total + player.asked for total, player in zip(asked, players, strict=True)]
    players = Counted(1), Counted(2)
    again = played(*players, FOUR, out=tmp_path / "run")
    asked = [total + player.asked for total, player in zip(asked, players, strict=True)]
    assert set(asked[0].values()) | set(asked[1].values()) == {1}
    turns = sum(len(trace.turns) for trace in traces(tmp_path / "run").values())
    assert sum(map(Counter.total, asked)) == turns
    assert [again[name] for name in ("points", "games")] == [
        whole[name] for name in ("points", "games")
    ]
    finished = Counted(1), Counted(2)
    assert played(*finished, FOUR, out=tmp_path / "run")["points"] == whole["points"]
    assert finished[0].asked == finished[1].asked == Counter()


def test_more_starts_in_the_same_folder_are_the_larger_evaluation(tmp_path):
    played(RandomLegal(1), RandomLegal(2), out=tmp_path / "grown", episodes=2)
    grown = played(RandomLegal(1), RandomLegal(2), out=tmp_path / "grown", episodes=5)
    whole = played(RandomLegal(1), RandomLegal(2), out=tmp_path / "whole", episodes=5)
    del grown["summaries"], whole["summaries"]  # with seconds
    assert grown == whole == json.loads((tmp_path / "grown/duel.json").read_text())


@pytest.mark.parametrize(
    "hostile",
    ["", "<answer>(9, 9)</answer>" * 50, "\ud83d<perception></think>", "0|1\n" * 100, "taken"],
)
def test_an_answer_without_a_legal_move_loses_at_once(hostile, tmp_path):
    def taken(game, state):
        """The cell that is not free, where there is one (an opening has moves of both)."""
        occupied = int(np.flatnonzero(state.board[0])[0])
        answer = game.encode(state.level, occupied)
        return f"<perception>x</perception><think>y</think><answer>{answer}</answer>"

    loser = Scripted(taken if hostile == "taken" else hostile)
    result = played(RandomLegal(), loser, out=tmp_path)
    assert points(result) == {"both": 1.0, "first": 1.0, "second": 1.0}
    for side in SIDES:
        expected = {"won": 6, "drawn": 0, "lost": 0, "failed": 0, "forfeited": 0, "given": 6}
        assert result["games"][side] == expected
    of = traces(tmp_path)
    for side in SIDES:
        lost = of["opponent", side]
        assert [(e.turns, e.end) for e in lost.episodes] == [(1, "stuck")] * 6
        won = of["player", side]
        turns = 1 if side == "first" else 0
        assert [(e.turns, e.end) for e in won.episodes] == [(turns, "terminated")] * 6
    assert points(played(RandomLegal(), loser, out=tmp_path))["both"] == 1.0
    write_report(tmp_path)


class Silent(RandomLegal):
    """Gives no answer to some games."""

    silent = True

    def answer(self, queries):
        return [
            [
                Answer(failure="no") if self.silent and state.seed[row] % 2 else text
                for row, text in enumerate(super(Silent, self).reply(query.game, query.state))
            ]
            for query in queries
            for state in [query.state]
        ]


def test_games_without_an_answer_are_missing_and_tried_again(tmp_path):
    silent = played(Silent(), RandomLegal(1), out=tmp_path, episodes=8)
    failed = silent["games"]["first"]["failed"]
    assert 0 < failed < 8
    assert failed == silent["games"]["second"]["failed"]
    assert silent["points"]["both"]["n"] == 8 - failed
    reasons = {episode.reason for trace in traces(tmp_path).values() for episode in trace.episodes}
    assert reasons == {"", "no", "the other player: no"}
    player = Silent()
    player.silent = False
    again = played(player, RandomLegal(1), out=tmp_path, episodes=8)
    assert again["games"]["first"]["failed"] == 0
    assert again["points"] == played(player, RandomLegal(1), episodes=8)["points"]


class Passing(TicTacToe):
    """Only crosses are ever put; the other side has no move, and passes."""

    name = "Passing"

    def may_move(self, level, board, side, quiet=False):
        may = super().may_move(level, board, side, quiet)
        return may & (side == 1)


def test_a_side_without_a_legal_move_passes():
    task = Task(game=Passing(), level="tiny:opening=0", look="tiny")
    result = played(RandomLegal(1), RandomLegal(2), task, episodes=1)
    assert result["games"]["first"]["won"] == result["games"]["second"]["lost"] == 1
    assert result["games"]["first"]["given"] == result["games"]["second"]["forfeited"] == 0


def test_models_at_an_endpoint_and_in_memory_may_play(tmp_path, small, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    model, processor = load(str(small))
    local = [
        named(local_player(model, processor, max_new_tokens=8, temperature=t), f"t{t}")
        for t in (0.0, 1.0)
    ]
    result = played(*local, out=tmp_path / "local", episodes=2)
    assert sum(result["games"]["first"][name] for name in ("won", "drawn", "lost")) == 2
    with Endpoint(lambda messages: "<answer>(0, 0)</answer>") as endpoint:
        remote = OpenAIPlayer("m", endpoint.url + "/v1")
        played(remote, RandomLegal(), out=tmp_path / "api", episodes=4)
        served = endpoint.served.total()
        played(remote, RandomLegal(), out=tmp_path / "api", episodes=4)
        assert endpoint.served.total() == served
    turns = [len(traces(tmp_path / "api")["player", side].turns) for side in SIDES]
    assert served == sum(turns)


def test_games_that_are_all_one_are_told():
    one = Task(game="ConnectFour", level="easy", look="tiny")
    (warning,) = played(Oracle(), Greedy(), one, episodes=3)["warnings"]
    assert warning.startswith("all 3 games of either side are one game")
    assert warning.endswith("--level easy:opening=2")
    assert played(Oracle(), RandomLegal(), one, episodes=3)["warnings"] == []
    assert played(Oracle(), Greedy(), FOUR, episodes=3)["warnings"] == []
    assert played(Oracle(), Greedy(), one, episodes=1)["warnings"] == []


@pytest.mark.parametrize("level", ["normal", "easy:begins=opponent,side=O", "hard:begins=drawn"])
def test_whoever_begins_at_a_level_each_player_does_so_once(level, tmp_path):
    task = TASK.override(level=level)
    played(RandomLegal(1), RandomLegal(2), task, tmp_path, episodes=2)
    for (_, side), trace in traces(tmp_path).items():
        assert {int(turn.load()[1].steps[0]) % 2 for turn in trace.turns} == {SIDES.index(side)}
        assert task.game.level(trace.run.level) == trace.turns[0].load()[1].level


@pytest.mark.parametrize(
    ("task", "settings", "named"),
    [
        (Task(game="2048"), {}, r"game = '2048': allowed is a game .*ConnectFour"),
        (TASK, {"start": "walk"}, r"start = 'walk': allowed is reset"),
        (TASK, {"turns": 3}, r"turns = 3: allowed is 0"),
        (TASK, {"patience": 3}, r"patience = 3: allowed is 0"),
    ],
)
def test_what_cannot_be_played_is_refused_by_name(task, settings, named, tmp_path):
    with pytest.raises(ConfigError, match=named):
        played(Random(), Oracle(), task, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_a_folder_holds_one_pair_of_players(tmp_path):
    played(RandomLegal(), Greedy(), out=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.glob("eval/*/*/*.json*")}
    for players, message in (
        ((RandomLegal(), Oracle()), r"opponent = 'oracle \(.*\)': allowed is 'greedy \("),
        ((Oracle(), Greedy()), r"player.kind = 'oracle'"),
    ):
        with pytest.raises(ConfigError, match=message):
            played(*players, out=tmp_path)
    folder = tmp_path / "eval/player/TicTacToe-first"
    task = Task(**{**TASK.to_dict(), "level": "tiny:max_steps=20"})
    alone = Evaluation(episodes=6, oracle=False, patience=0)
    with pytest.raises(ConfigError, match="opponent = nothing"):
        evaluate(RandomLegal(), task, alone, folder, progress=False)
    assert {path: path.read_bytes() for path in tmp_path.glob("eval/*/*/*.json*")} == before
    played(named(RandomLegal(), "another label"), named(Greedy(), "too"), out=tmp_path)
    with pytest.raises(ConfigError, match="against the opponent of the game"):
        rescore(folder, tmp_path / "new")


def test_traces_that_do_not_belong_together_are_refused(tmp_path):
    for start in (0, 50):
        played(RandomLegal(), Greedy(), out=tmp_path / str(start), first=start)
    shutil.rmtree(tmp_path / "0/eval/opponent/TicTacToe-second")
    with pytest.raises(TraceError, match=r"eval/player/TicTacToe-first and .*another board"):
        played(RandomLegal(), Greedy(), out=tmp_path / "0")


def test_leaderboard_has_a_section_of_opponents(tmp_path):
    played(named(Oracle(), "a|b"), RandomLegal(), out=tmp_path)
    folders = sorted(path.parent for path in tmp_path.glob("eval/*/*/trace.jsonl"))
    leaderboard(folders, tmp_path)
    lines = (tmp_path / "leaderboard.md").read_text().split("## Opponents")[1].splitlines()
    rows = [line for line in lines if "tiny:max_steps" in line]
    result = json.loads((tmp_path / "duel.json").read_text())
    both = result["points"]["both"]
    assert len(rows) == 2
    assert any(f"{both['mean']:.3f}" in row and r"a\|b | random-legal" in row for row in rows)
    assert any(f"{1 - both['mean']:.3f}" in row and r"random-legal | a\|b" in row for row in rows)


def test_the_command_plays_two_players_and_goes_on(tmp_path, capsys):
    words = eval_words(tmp_path, "--opponent", "random", game="TicTacToe", turns=0)
    for _ in range(2):
        assert main(words) == 0
        said = capsys.readouterr().out
        assert "random against random (opponent) on TicTacToe tiny, 2 starts" in said
        assert "\n  both    0.500" in said
    assert (tmp_path / "report.html").exists()
    for more in (["--protocol", "tiny"], ["--sweep", "look.noise=0:0.1:2"], ["--player", "oracle"]):
        assert main([*words, *more]) == 2
        assert "--opponent = 'random': allowed is used with one --player" in capsys.readouterr().err
