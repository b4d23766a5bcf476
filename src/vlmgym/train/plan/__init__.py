"""Before a run: what it needs, whether all is there, where its time will go.

``preflight`` tries all that a recipe names, ``launch`` writes launch lines, and ``requirements``
shows a recipe on each kind of ``hardware``. ``architecture`` counts a model, ``memory`` estimates
what fits, ``speed`` how long it takes, ``taught`` how long the teacher's answers are. ``measure``
counts bytes in one step of each stage, ``profile`` seconds in a few; ``adapters`` says what LoRA
adds while it works.
"""
