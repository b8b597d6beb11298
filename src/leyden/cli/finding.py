"""Which channel a person means."""

from typing import TYPE_CHECKING

import typer

from leyden.cli.exits import refuse

if TYPE_CHECKING:
    from leyden.api.client import Control
    from leyden.api.views import ChannelView

ChannelArgument = typer.Argument(metavar="CHANNEL", help="channel_id or the beginning of one, or its short_channel_id.")
_PREFIX_MIN = 4


def find_channel(control: "Control", name: str) -> "ChannelView":
    """Return the channel that is meant by `name`. Raises: CommandRejected, code `unknown_channel`."""
    from leyden.api.client import finish

    views = finish(control.channels())
    wanted = name.lower()
    exact = [view for view in views if wanted in (view.channel_id, view.short_channel_id, view.alias)]
    found = exact or [view for view in views if len(wanted) >= _PREFIX_MIN and view.channel_id.startswith(wanted)]
    if len(found) != 1:
        refuse(
            f"{len(found)} channels begin with `{name}`: give more of the channel_id"
            if found
            else f"no channel `{name}`: `leyden channels --all` lists them; those that are archived are gone",
            "unknown_channel",
        )
    return found[0]
