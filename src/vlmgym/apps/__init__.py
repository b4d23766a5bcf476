"""Commands that are small programs of their own, over everything below.

``demo`` trains and compares the story of the paper with the embedded model and writes one page;
``gallery`` draws the pages of all games into docs/games; ``play`` is a page in a browser on which a
person plays what models play, turns recorded as theirs; ``compile`` compiles every kernel once.
They compose what the other packages offer and are imported by the command line alone.
"""
