"""Before a run: what it needs, whether all is there, where its time will go.

``preflight`` tries all that a recipe names and writes launch lines, ``memory`` estimates what fits,
``speed`` how long it takes, ``profile`` measures a few steps.
"""
