"""How the gateway's knowledge of callers is put together, and its port for operators."""

from dataclasses import dataclass

from services.gateway.handlers.keys import Keys
from services.gateway.key_news import KeyNews
from services.gateway.key_rpc import KEYS_SERVICE, KeyService
from services.gateway.key_sync import KNOWN_TO_ALL_S, KeySync
from services.gateway.public_port import age_options
from services.gateway.settings import Settings
from services.gateway.store import KeyStore
from slipway.identity.authenticator import Authenticator
from slipway.identity.callers import Callers
from slipway.identity.key_book import KeyBook
from slipway.identity.wiring import follow_issuers, operators_authenticator, public_authenticator
from slipway.policy.engine import Policies
from slipway.policy.gate import PolicyGate
from slipway.process import Process
from slipway.rpc import MAX_MESSAGE_BYTES, RpcServer
from slipway.v1.keys_pb2_grpc import add_KeyAdminServicer_to_server


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who is recognised on the public port, and who on that of operators; and the keys they come with."""

    public: Authenticator
    operators: Authenticator
    keys: Keys
    sync: KeySync


def add_identity(process: Process, settings: Settings, *, book: KeyBook) -> Identity:
    """Follow the table of keys and the files of issuers, and tell the other services of keys."""
    issuers, store = follow_issuers(process, settings), KeyStore()
    news = KeyNews(settings.kafka_bootstrap, store)
    sync = KeySync(settings.postgres_dsn, store, book=book, news=news)
    process.spawn("keys", sync.run)
    process.spawn("news of keys", news.run)
    known_after_s = KNOWN_TO_ALL_S if settings.share_ports else 0.0
    return Identity(
        public=public_authenticator(book, issuers=issuers),
        operators=operators_authenticator(settings, book, issuers=issuers),
        keys=Keys(store, sync, pepper=book.pepper, known_after_s=known_after_s),
        sync=sync,
    )


def admin_server(settings: Settings, identity: Identity, *, policies: Policies) -> RpcServer:
    """The port for operators and for the other services."""
    server = RpcServer(
        interceptors=(Callers(identity.operators), PolicyGate(policies)),
        max_message_bytes=2 * MAX_MESSAGE_BYTES,  # a caller's largest message travels inside another
        options=age_options(settings),
        is_shared=settings.share_ports,
    )
    server.add(add_KeyAdminServicer_to_server, KeyService(identity.keys, policies), service=KEYS_SERVICE)
    return server
