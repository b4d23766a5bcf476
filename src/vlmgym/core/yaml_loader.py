"""PyYAML's safe loader, made narrower; imported where YAML is read, as PyYAML takes its time."""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from vlmgym.core.files import DEEP, whole_text

_INT = "tag:yaml.org,2002:int"
_FLOAT = "tag:yaml.org,2002:float"
_MERGE = "tag:yaml.org,2002:merge"
_OTHERWISE = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value", _INT, _FLOAT}
"""Tags that YAML 1.1 finds by the look of a text, and that are read otherwise here, or not."""
_INT_PATTERN = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT_PATTERN = re.compile(
    r"(?:[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)


def _refused(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


class Loader(yaml.SafeLoader):
    """Mappings with strings as keys, lists, strings, finite numbers, truth values and None; no
    aliases, tags and merge keys, and nothing very deep.
    """

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node, if it is none of what is refused."""
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            raise _refused("aliases (*name) are not allowed: write the value again", mark)
        if self.depth > DEEP:
            raise _refused(f"more than {DEEP} levels within each other", mark)
        tag = getattr(self.peek_event(), "tag", None)
        if tag not in (None, "!"):
            raise _refused(f"tags ({tag}) are not allowed", mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
        """A mapping whose keys are strings, each once."""
        values: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refused("a key that is no string", key.start_mark)
            if key.tag == _MERGE:
                raise _refused("merge keys (<<) are not allowed", key.start_mark)
            name = self.construct_scalar(key)
            if name in values:
                raise _refused(f"the key {name!r} comes twice", key.start_mark)
            values[name] = self.construct_object(value, deep=True)
        return values

    def construct_scalar(self, node: Any) -> str:
        """A text of whole characters."""
        # JSON writes one character as two halves
        text = whole_text(super().construct_scalar(node))
        if text.count("\ufffd") > node.value.count("\ufffd"):
            raise _refused("half a character (a surrogate)", node.start_mark)
        return text

    def number(self, node: Any) -> int | float:
        """A number that can be computed with: an integer of 64 bits, or a finite float."""
        text = node.value
        try:
            value = int(text) if node.tag == _INT else float(text)
        except ValueError:  # more digits than Python reads
            value = math.inf
        is_usable = abs(value) < 2**64 if node.tag == _INT else math.isfinite(value)
        if not is_usable:
            excerpt = f"{text[:20]}{'...' if len(text) > 20 else ''}"
            problem = f"{excerpt} is no number that can be computed with"
            raise _refused(problem, node.start_mark)
        return value


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _OTHERWISE]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in ((_INT, _INT_PATTERN), (_FLOAT, _FLOAT_PATTERN)):
    Loader.add_implicit_resolver(_tag, _pattern, list("-+.0123456789"))
    Loader.add_constructor(_tag, Loader.number)
