"""`slipway init`: the keys, secrets and certificates of the local stack."""

from typing import Annotated

import typer
from rich.console import Console

from slipway.stack.layout import find_layout, make_directories
from slipway.stack.lock import exclusive
from slipway.stack.trust import check_trust, initialise, trust_status

_CONSOLE = Console(highlight=False)


def init(
    renew: Annotated[bool, typer.Option("--renew", help="Issue all certificates anew.")] = False,
) -> None:
    """Make what secures the local stack and is missing: an authority, certificates, keys and passwords.

    What exists is never overwritten; `slipway up` calls it too. A certificate lasts a year, and
    `slipway status` tells how long it still does. Renewed ones are taken up when a part starts.

    Examples:

        slipway init

        slipway init --renew && slipway restart     (services; Kafka: slipway down, slipway up)

        curl --cacert "$SLIPWAY_HOME/certificates/ca.pem" ...
    """
    layout = find_layout()
    make_directories(layout)
    with exclusive(layout, on_wait=_tell_wait):
        made = initialise(layout, renew=renew)
        check_trust(layout)
    for kind, names in (("secrets", made.secrets), ("certificates", made.certificates)):
        _CONSOLE.print(f"{kind}: {', '.join(names) if names else 'all there'}", soft_wrap=True)
    first = min(trust_status(layout), key=lambda it: it.expires_at)
    _CONSOLE.print(f"[green]ready[/] until {first.expires_at:%Y-%m-%d}; all in {layout.home}", soft_wrap=True)


def _tell_wait(holder: str) -> None:
    _CONSOLE.print(f"[yellow]waiting[/] for another slipway command (pid {holder}) to finish with this stack")
