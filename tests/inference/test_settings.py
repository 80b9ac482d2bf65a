"""What replicas are told of themselves."""

from dataclasses import replace

import pytest

from slipway.errors import InvalidInput
from slipway.tls import ServerTls
from tests.inference.test_reconciler import SETTINGS

SECURED = replace(
    SETTINGS,
    mesh_cert="inference.pem",
    mesh_ca="ca.pem",
    inference_target="tls://host:1?ca_file=ca.pem&cert_file=inference.pem",
    replica_cert="replica.pem",
)


def test_replicas_come_to_the_desk_with_their_own_certificate() -> None:
    assert SECURED.desk_target == "tls://host:1?ca_file=ca.pem&cert_file=replica.pem"
    assert SECURED.replica_tls == ServerTls(cert_file="replica.pem", client_ca="ca.pem")
    in_the_clear = replace(SECURED, replica_cert="")
    assert in_the_clear.desk_target == SECURED.inference_target
    assert in_the_clear.replica_tls is None


def test_a_replica_that_could_not_know_gateways_is_not_started() -> None:
    with pytest.raises(InvalidInput, match="SLIPWAY_REPLICA_CERT needs SLIPWAY_MESH_CA"):
        replace(SECURED, mesh_cert="", mesh_ca="")
