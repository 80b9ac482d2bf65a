"""How what the gateway knows of suspects is put together: from the snapshot, then from the topic."""

from functools import partial

from services.gateway.consumer import follow_suspects
from services.gateway.settings import Settings
from services.gateway.suspects import SNAPSHOT, Suspects
from slipway.process import Process
from slipway.snapshots import Snapshot


def add_suspects(process: Process, settings: Settings) -> Suspects:
    """Who is suspected, kept up to date and on disk; the process is not ready before it is known."""
    suspects = Suspects()
    suspects.restore(settings.state_dir)
    snapshot = Snapshot(path=settings.state_dir / SNAPSHOT, changes=suspects.changes, dump=suspects.dump)
    process.spawn(f"snapshot {SNAPSHOT}", snapshot.keep)
    process.spawn("extraction alarms", partial(follow_suspects, settings.kafka_bootstrap, suspects))
    process.spawn("extraction alarms caught up", suspects.note_caught_up)
    process.ready_when("extraction alarms", lambda: suspects.is_known)
    return suspects
