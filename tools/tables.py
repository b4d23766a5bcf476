"""Write the tables of docs/evaluation.md anew: players, metrics, and the chance of cells.

usage: python tools/tables.py [FILE]    (after a change of KINDS, METRICS, or of a game)
"""

import re
import sys
from pathlib import Path

from vlmgym.evals import chance, metrics
from vlmgym.players import registry

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "evaluation.md"


def with_table(text: str, table: str) -> str:
    """A document in which a table stands in place of the one with the same first line."""
    head = table.partition("\n")[0]
    place = re.compile(rf"^{re.escape(head)}\n(?:\|.*\n)*", re.MULTILINE)
    if not place.search(text):
        sys.exit(f"the document has no table that begins with {head!r}")
    return place.sub(lambda _: table, text)


def main(document: Path) -> None:
    """Write the tables of a document anew."""
    text = document.read_text(encoding="utf-8")
    for table in (registry.table(), metrics.table(), chance.table()):
        text = with_table(text, table)
    document.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCUMENT)
