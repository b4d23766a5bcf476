"""Local models as players of tests."""

from vlmgym.models.loading import banned_tokens
from vlmgym.players.local import LocalPlayer


def local_player(model, processor, **options):
    """A player of tiny boards, asked briefly."""
    options = {"name": "tiny", "look": "tiny", "style": "brief"} | options
    return LocalPlayer(model, processor, banned=banned_tokens(model, processor), **options)
