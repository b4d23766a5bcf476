"""Learning: a cold start by SFT, then GRPO, on the games.

A :class:`Recipe` says all of a run; :func:`train` does its stages. For each GRPO step ``questions``
draws states, ``rows`` draws their pictures and writes their prompts, ``rewards`` judges the replies
(``multi_turn``: whole episodes), and ``grpo_trainer`` teaches TRL's trainer what it must know of
all this; ``grpo`` and ``sft`` set the two trainers up. ``checkpoint`` is what a run outlives,
``pretrain`` makes the embedded model. ``plan`` looks before a run, ``verl`` spreads one over a
cluster.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
