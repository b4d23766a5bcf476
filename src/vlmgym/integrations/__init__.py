"""The games behind the interfaces of other frameworks, a module for each.

``inspect_ai`` is a task for Inspect: samples are the states of an evaluation, its solver plays
their episodes, its scorer gives the metrics. Each needs the package of its framework (an extra),
and is imported by nobody here. Gymnasium has a package of its own, ``envs``; verl stands in
``train.verl``.
"""
