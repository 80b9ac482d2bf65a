"""The port for operators and neighbours: who calls is recognised, then asked for permission."""

from slipway.identity.callers import Callers
from slipway.identity.wiring import add_identity
from slipway.policy.access import open_policies
from slipway.policy.gate import Find, PolicyGate, knows_no_models
from slipway.process import Process
from slipway.rpc import MAX_MESSAGE_BYTES, RpcServer
from slipway.settings import ServiceSettings


def control_server(
    process: Process,
    settings: ServiceSettings,
    *,
    find: Find = knows_no_models,
    also_open: tuple[str, ...] = (),
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> RpcServer:
    """A gRPC server whose callers come with a key, a token, a certificate or the stack's own token.

    Args:
        process: What follows keys, issuers and policies.
        settings: Where they are.
        find: The model of a name, for policies.
        also_open: Services that check their callers themselves, e.g. "/slipway.v1.ReplicaDesk/".
        max_message_bytes: The largest message either way.
    Raises:
        InvalidInput: Issuers or policies make no sense.
    """
    authenticator, _ = add_identity(process, settings)
    gate = PolicyGate(open_policies(process, settings), find=find)
    callers = Callers(authenticator, also_open=also_open)
    return RpcServer(interceptors=(callers, gate), max_message_bytes=max_message_bytes)
