"""Games with one fault each, and the check that finds it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from lights_out_2000 import LightsOut2000

from vlmgym.core import NO_ACTION, Decoded, Outcome, mix_array
from vlmgym.games.game2048 import Game2048


# Each fault is a correct game with one method broken, and the check that must find it.
def faulty(base, **parts):
    return type("Faulty", (base,), parts)()


def step_in_place(self, state, actions):
    new, outcome = LightsOut2000._step(self, state, actions)
    state.board[:] = new.board
    return new, outcome


def legal_in_place(self, state):
    state.score[:] = 0
    return LightsOut2000.legal(self, state)


def oracle_in_place(self, state):
    state.board ^= 1
    return LightsOut2000.oracle(self, state)


def scene_in_place(self, state):
    state.board %= 2
    return LightsOut2000.scene(self, state)


def explain_in_place(self, state, row, action):
    state.steps[row] += 1
    return LightsOut2000.explain(self, state, row, action)


def deal_by_place(self, level, seeds):
    state = LightsOut2000.reset(
        self, level, mix_array(seeds ^ np.arange(len(seeds), dtype=np.uint64))
    )
    return replace(state, seed=seeds)


def step_by_place(self, state, actions):
    lucky = replace(state, seed=state.seed + np.arange(len(state), dtype=np.uint64))
    new, outcome = Game2048._step(self, lucky, actions)
    return replace(new, seed=state.seed), outcome


def oracle_by_place(self, state):
    return LightsOut2000.oracle(self, state) - np.arange(len(state))[:, None]


def deal_by_global_luck(self, level, seeds):
    other = np.random.randint(0, 1 << 62, len(seeds)).astype(np.uint64)
    return replace(LightsOut2000.reset(self, level, other), seed=seeds)


def step_by_global_luck(self, state, actions):
    other = np.random.randint(0, 1 << 62, len(state)).astype(np.uint64)
    new, outcome = Game2048._step(self, replace(state, seed=other), actions)
    return replace(new, seed=state.seed), outcome


def deal_without_seed(self, level, seeds):
    return replace(LightsOut2000.reset(self, level, np.zeros_like(seeds)), seed=seeds)


def deal_losing_seed(self, level, seeds):
    return replace(LightsOut2000.reset(self, level, seeds), seed=np.zeros_like(seeds))


def step_with_counter(self, state, actions):
    self.calls = getattr(self, "calls", 0) + 1
    new, outcome = Game2048._step(
        self, replace(state, seed=state.seed ^ np.uint64(self.calls)), actions
    )
    return replace(new, seed=state.seed), outcome


class OneBuffer(LightsOut2000):
    """Writes every board into one array, which all states share."""

    def _step(self, state, actions):
        new, outcome = super()._step(state, actions)
        if getattr(self, "buffer", np.empty(0)).shape != new.board.shape:
            self.buffer = new.board.copy()
        self.buffer[:] = new.board
        return replace(new, board=self.buffer), outcome


class Remembers(LightsOut2000):
    """Keeps the board of its last turn beside the State, and goes on from there."""

    def _step(self, state, actions):
        last = getattr(self, "last", None)
        if last is not None and last.shape == state.board.shape and (state.steps > 0).all():
            state = replace(state, board=last)
        new, outcome = super()._step(state, actions)
        self.last = new.board
        return new, outcome


def legal_always(self, state):
    return np.ones((len(state), 4), bool)


def legal_while_playing(self, state):
    return np.repeat(~state.ended[:, None], 4, axis=1)


def legal_forgets(self, state):
    legal = LightsOut2000.legal(self, state)
    legal[:, 4] = False
    return legal


def legal_of_wrong_shape(self, state):
    return LightsOut2000.legal(self, state)[:, :-1]


def legal_by_luck(self, state):
    legal = LightsOut2000.legal(self, state)
    legal[:, 0] &= state.seed % np.uint64(2) == 0
    return legal


def no_action_presses(self, state, actions):
    new, outcome = LightsOut2000._step(self, state, np.maximum(actions, 0))
    return new, outcome


def no_action_costs_no_turn(self, state, actions):
    new, outcome = LightsOut2000._step(self, state, actions)
    return replace(new, steps=np.where(actions == NO_ACTION, state.steps, new.steps)), outcome


def truncated_goes_on(self, state, actions):
    new, outcome = LightsOut2000._step(
        self, replace(state, level=replace(state.level, max_steps=0)), actions
    )
    return replace(new, level=state.level), outcome


def terminated_goes_on(self, state, actions):
    new, outcome = LightsOut2000._step(
        self, replace(state, terminated=np.zeros(len(state), bool)), actions
    )
    over = new.terminated | state.terminated
    return replace(new, terminated=over), replace(outcome, terminated=over)


def legal_at_the_end(self, state):
    return np.repeat(~state.truncated[:, None], self.n_actions(state.level), axis=1)


def encode_transposed(self, level, action):
    return LightsOut2000.encode(
        self, level, (action % level.cols) * level.cols + action // level.cols
    )


def encode_from_one(self, level, action):
    row, col = divmod(action, level.cols)
    return f"({row + 1}, {col + 1})"


def decode_guesses(self, level, text):
    found = LightsOut2000.decode(self, level, text)
    return found if found.action >= 0 else Decoded(0)


def decode_takes_the_first(self, level, text):
    return LightsOut2000.decode(self, level, text.strip()[:6])


def decode_without_reason(self, level, text):
    return replace(LightsOut2000.decode(self, level, text), problem="")


def decode_raises(self, level, text):
    return Decoded(int(text))


def scene_with_names(*names, kind="shape"):
    return lambda self, state: self.view(state, state.board, names, kind)


def scene_of_twins(self, state):
    # 17 colours, and words that the font lacks
    lit = np.where(state.steps % 2, 18, 1)[:, None, None]
    return self.view(
        state, (state.board > 0) * lit, ("off", "灯", *map(str, range(16)), "火"), "text"
    )


def scene_hides_one_symbol(self, state):
    return self.view(state, np.minimum(state.board, 1), ("0", "2"), "number")


def scene_shrinks(self, state):
    return self.view(
        state, state.board[:, : 3 - int(state.steps.max() > 0)], LightsOut2000.symbols, "shape"
    )


def from_symbols_loses(self, level, symbols):
    state = LightsOut2000.from_symbols(self, level, symbols)
    state.board[:, 0, 0] = 0
    return state


def from_symbols_ends(self, level, symbols):
    return replace(
        LightsOut2000.from_symbols(self, level, symbols), terminated=np.ones(len(symbols), bool)
    )


def from_symbols_refuses(self, level, symbols):
    if symbols.any(axis=(1, 2)).all() and len(symbols) != 64:
        return LightsOut2000.from_symbols(self, level, symbols)
    raise ValueError("dark boards cannot be")


def oracle_negated(self, state):
    return -Game2048.oracle(self, state)


def oracle_everywhere(self, state):
    return np.nan_to_num(Game2048.oracle(self, state))


def oracle_flat(self, state):
    return np.where(self.legal(state), 0.0, np.nan)


def presses_as_rewards(self, state):
    return -LightsOut2000.oracle(self, state)


def presses_after_the_move(self, state):
    return LightsOut2000.oracle(self, state) + 1


def presses_doubled(self, state):
    return 2 * LightsOut2000.oracle(self, state)


def presses_too_many_at_first(self, state):
    values = LightsOut2000.oracle(self, state)
    values[:, 0] -= 2
    return values


def oracle_sees_luck(self, state):
    return LightsOut2000.oracle(self, state) - 1e-3 * (state.seed % np.uint64(97))[:, None]


def oracle_raises(self, state):
    raise RuntimeError("no solution found")


def successes_all(self, state):
    return self.legal(state)


def good_by_gain(self, state, actions, outcome):
    return outcome.gain > 0


def explain_on_two_lines(self, state, row, action):
    return f"{action}\nis a move"


def explain_nothing(self, state, row, action):
    return ""


def restart_keeps_the_end(self, state, actions):
    return self._step(state, np.asarray(actions))


def reset_raises(self, level, seeds):
    raise KeyError("board")


def step_raises(self, state, actions):
    raise IndexError("index 9 is out of bounds")


def scene_raises(self, state):
    raise ZeroDivisionError


def step_scores_twice(self, state, actions):
    new, outcome = Game2048._step(self, state, actions)
    return replace(new, score=new.score + outcome.gain), outcome


def outcome_says_nothing_of_ends(self, state, actions):
    new, outcome = LightsOut2000._step(self, state, actions)
    return new, Outcome(outcome.gain, outcome.changed, np.zeros(len(state), bool))


def step_changes_seed(self, state, actions):
    new, outcome = LightsOut2000._step(self, state, actions)
    return replace(new, seed=mix_array(state.seed)), outcome


EASY = LightsOut2000.LEVELS["easy"]
LEVELS = {
    name: {"easy": level, "normal": level}
    for name, level in {"endless": replace(EASY, max_steps=0), "easy": EASY}.items()
}
FAULTS = {
    "the oracle of a puzzle has the other sign": (
        LightsOut2000,
        {"oracle": presses_as_rewards},
        "puzzle values count moves",
    ),
    "the oracle of a puzzle leaves out the move itself": (
        LightsOut2000,
        {"oracle": presses_after_the_move},
        "puzzle values count moves",
    ),
    "the oracle of a puzzle counts every move twice": (
        LightsOut2000,
        {"oracle": presses_doubled},
        "puzzle values count moves",
    ),
    "the oracle of a puzzle has one action wrong": (
        LightsOut2000,
        {"oracle": presses_too_many_at_first},
        "puzzle values count moves",
    ),
    "step writes into its input": (LightsOut2000, {"_step": step_in_place}, "purity"),
    "legal writes into its input": (LightsOut2000, {"legal": legal_in_place}, "purity"),
    "oracle writes into its input": (LightsOut2000, {"oracle": oracle_in_place}, "purity"),
    "scene writes into its input": (LightsOut2000, {"scene": scene_in_place}, "purity"),
    "explain writes into its input": (LightsOut2000, {"explain": explain_in_place}, "purity"),
    "deals depend on the place in the batch": (
        LightsOut2000,
        {"reset": deal_by_place},
        "batch equals alone",
    ),
    "draws depend on the place in the batch": (
        Game2048,
        {"_step": step_by_place},
        "batch equals alone",
    ),
    "oracle depends on the place in the batch": (
        LightsOut2000,
        {"oracle": oracle_by_place},
        "batch equals alone",
    ),
    "deals by global luck": (LightsOut2000, {"reset": deal_by_global_luck}, "same seed same run"),
    "draws by global luck": (Game2048, {"_step": step_by_global_luck}, "same seed same run"),
    "the seed is not used": (LightsOut2000, {"reset": deal_without_seed}, "same seed same run"),
    "the seed is lost": (LightsOut2000, {"reset": deal_losing_seed}, "levels"),
    "a turn changes the seed": (
        LightsOut2000,
        {"_step": step_changes_seed},
        "outcome and state agree",
    ),
    "luck by a counter on the game": (Game2048, {"_step": step_with_counter}, "forks"),
    "restored games differ by a counter on the game": (
        Game2048,
        {"_step": step_with_counter},
        "snapshots",
    ),
    "states share an array": (OneBuffer, {}, "snapshots"),
    "the board is kept on the game": (Remembers, {}, "batch equals alone"),
    "everything is legal": (Game2048, {"legal": legal_always}, "ended rows absorb"),
    "everything is legal before the end": (
        Game2048,
        {"legal": legal_while_playing},
        "legal is what step accepts",
    ),
    "legal forgets an action": (
        LightsOut2000,
        {"legal": legal_forgets},
        "legal is what step accepts",
    ),
    "legal has a wrong shape": (
        LightsOut2000,
        {"legal": legal_of_wrong_shape},
        "legal is what step accepts",
    ),
    "legal depends on luck to come": (LightsOut2000, {"legal": legal_by_luck}, "forks"),
    "no action moves the board": (LightsOut2000, {"_step": no_action_presses}, "no action"),
    "no action costs no turn": (LightsOut2000, {"_step": no_action_costs_no_turn}, "no action"),
    "games go on after the turn limit": (
        LightsOut2000,
        {"_step": truncated_goes_on},
        "ended rows absorb",
    ),
    "games go on after their end": (
        LightsOut2000,
        {"_step": terminated_goes_on},
        "ended rows absorb",
    ),
    "actions are legal after the end": (
        LightsOut2000,
        {"legal": legal_at_the_end},
        "ended rows absorb",
    ),
    "score and gain differ": (Game2048, {"_step": step_scores_twice}, "outcome and state agree"),
    "the outcome is silent about ends": (
        LightsOut2000,
        {"_step": outcome_says_nothing_of_ends},
        "outcome and state agree",
    ),
    "encode mixes rows and columns": (LightsOut2000, {"encode": encode_transposed}, "answers"),
    "encode counts from one": (LightsOut2000, {"encode": encode_from_one}, "answers"),
    "decode guesses": (LightsOut2000, {"decode": decode_guesses}, "answers"),
    "decode takes the first of two answers": (
        LightsOut2000,
        {"decode": decode_takes_the_first},
        "answers",
    ),
    "decode gives no reason": (LightsOut2000, {"decode": decode_without_reason}, "answers"),
    "decode raises": (LightsOut2000, {"decode": decode_raises}, "answers"),
    "two symbols have one name": (
        LightsOut2000,
        {"scene": scene_with_names("off", "red star", "Red star")},
        "scene and text",
    ),
    "a name holds the separator": (
        LightsOut2000,
        {"scene": scene_with_names("off", "o|n", "green", kind="text")},
        "scene and text",
    ),
    "a symbol has no name": (
        LightsOut2000,
        {"scene": scene_with_names("off", "red star")},
        "scene and text",
    ),
    "no drawing exists for a name": (
        LightsOut2000,
        {"scene": scene_with_names("off", "red", "green star")},
        "pictures",
    ),
    "no drawing exists for a kind": (
        LightsOut2000,
        {"scene": scene_with_names("off", "red", "green", kind="lamp")},
        "pictures",
    ),
    "a name is empty": (
        LightsOut2000,
        {"scene": scene_with_names("off", "", "green", kind="text")},
        "scene and text",
    ),
    "different symbols are drawn alike": (LightsOut2000, {"scene": scene_of_twins}, "pictures"),
    "the scene hides what is on the board": (
        Game2048,
        {"scene": scene_hides_one_symbol},
        "scene and text",
    ),
    "the grid changes its size": (LightsOut2000, {"scene": scene_shrinks}, "scene and text"),
    "from_symbols loses a cell": (
        LightsOut2000,
        {"from_symbols": from_symbols_loses},
        "scene and text",
    ),
    "from_symbols gives ended games": (
        LightsOut2000,
        {"from_symbols": from_symbols_ends},
        "scene and text",
    ),
    "from_symbols refuses odd boards": (
        LightsOut2000,
        {"from_symbols": from_symbols_refuses},
        "scene and text",
    ),
    "what hides a cell is no symbol": (LightsOut2000, {"covered": 7}, "scene and text"),
    "the oracle has the wrong sign": (Game2048, {"oracle": oracle_negated}, "oracle beats random"),
    "the oracle values illegal actions": (
        Game2048,
        {"oracle": oracle_everywhere},
        "oracle beats random",
    ),
    "the oracle knows nothing": (Game2048, {"oracle": oracle_flat}, "oracle beats random"),
    "the oracle sees the luck to come": (LightsOut2000, {"oracle": oracle_sees_luck}, "forks"),
    "the oracle raises": (LightsOut2000, {"oracle": oracle_raises}, "oracle beats random"),
    "successes holds more than good": (
        Game2048,
        {"success_mask": successes_all},
        "success and success mask agree",
    ),
    "good holds less than successes": (
        LightsOut2000,
        {"success": good_by_gain},
        "success and success mask agree",
    ),
    "a level has no turn limit": (LightsOut2000, {"LEVELS": LEVELS["endless"]}, "levels"),
    "explain has a line break": (LightsOut2000, {"explain": explain_on_two_lines}, "texts"),
    "explain says nothing": (LightsOut2000, {"explain": explain_nothing}, "texts"),
    "candidates are no actions": (
        LightsOut2000,
        {"candidates": lambda self, state, row: [9]},
        "texts",
    ),
    "the rules are empty": (LightsOut2000, {"rules": lambda self, level: ""}, "texts"),
    "a restart keeps the ended game": (LightsOut2000, {"step": restart_keeps_the_end}, "restart"),
    "reset raises": (LightsOut2000, {"reset": reset_raises}, "random play"),
    "step raises": (LightsOut2000, {"_step": step_raises}, "random play"),
    "scene raises": (LightsOut2000, {"scene": scene_raises}, "pictures"),
    "there is no level normal": (LightsOut2000, {"LEVELS": {"easy": EASY}}, "levels"),
}
