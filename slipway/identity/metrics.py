"""What every service counts about who calls it."""

from typing import Final

from prometheus_client import Counter, Gauge

REFUSED: Final = Counter(
    "slipway_credentials_refused_total", "Credentials that nobody is known by, by their kind", ["kind"]
)
JWKS_READS: Final = Counter(
    "slipway_jwks_reads_total", "Times that the keys of an issuer were read", ["issuer", "outcome"]
)
JWKS_READ_AT: Final = Gauge(
    "slipway_jwks_read_timestamp_seconds", "When the keys of an issuer were last read well", ["issuer"]
)
