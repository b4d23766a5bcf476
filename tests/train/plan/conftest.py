"""What tests of plans share."""

import pytest

from vlmgym.train.plan.architecture import architecture, known_models


@pytest.fixture(scope="session")
def sized():
    """The sizes of each known model, built once."""
    return {name: architecture(name) for name in known_models()}
