"""Learning: a cold start by SFT, then GRPO, on the games.

A :class:`Recipe` says all of a run, ``settings``, ``compute`` and ``sources`` its sections;
:func:`train` in ``run`` does its stages, and ``callbacks`` tells what happens. ``cold_start`` has a
scripted player answer, ``sft`` teaches the answers. ``grpo`` tells the steps of GRPO: ``questions``
draws states (``replays``: recorded ones), ``rows`` draws their pictures and writes their prompts,
``rewards`` judges the replies (``multi_turn``: whole episodes), ``grpo_trainer`` makes batches of
the ``groups`` of replies, and ``trl_grpo`` is all that touches TRL's private parts (``stand_ins``
are asked in the place of its model). ``resumable`` and ``checkpoint`` are what a run outlives,
``trained`` is what a model says of its training. ``embedded`` builds the embedded model,
``pretrain`` has the rows of its pretraining. ``export`` writes data sets of traces. ``plan`` looks
before a run, ``verl`` spreads one over a cluster.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
