import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from slipway.errors import InvalidInput
from slipway.stack.certificates import (
    CERTIFICATE_DAYS,
    ca_path,
    certificate_path,
    certificate_statuses,
    check_certificates,
    make_certificates,
)

NOW = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
NAMES = ("gateway", "retrain_trigger")


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_all_is_made_once_and_never_overwritten(tmp_path: Path) -> None:
    assert make_certificates(tmp_path, names=NAMES, now=NOW) == ["authority", *NAMES]
    before = contents(tmp_path)
    assert make_certificates(tmp_path, names=NAMES, now=NOW + 100 * DAY) == []
    assert make_certificates(tmp_path, names=(*NAMES, "jobs"), now=NOW) == ["jobs"]
    assert {name: text for name, text in contents(tmp_path).items() if name != "jobs.pem"} == before


def test_private_keys_are_readable_by_the_owner_alone(tmp_path: Path) -> None:
    make_certificates(tmp_path, names=NAMES, now=NOW)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"ca.pem": 0o644, **{f"{name}.pem": 0o600 for name in ("authority", *NAMES)}}


def test_a_certificate_names_its_service_and_loopback(tmp_path: Path) -> None:
    make_certificates(tmp_path, names=NAMES, now=NOW)
    certificate = x509.load_pem_x509_certificate(certificate_path(tmp_path, "retrain_trigger").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://slipway/retrain_trigger"]
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "retrain-trigger"]
    assert [str(it) for it in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_both_sides_of_a_connection_accept_them(tmp_path: Path) -> None:
    make_certificates(tmp_path, names=NAMES, now=datetime.datetime.now(datetime.UTC))
    server, client = (
        context(tmp_path, "gateway", purpose=ssl.PROTOCOL_TLS_SERVER),
        context(tmp_path, "retrain_trigger", purpose=ssl.PROTOCOL_TLS_CLIENT),
    )
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (ours, theirs):
            shake(side)
    assert ours.version() == theirs.version() == "TLSv1.3"
    assert theirs.getpeercert()["subject"] == ((("commonName", "retrain_trigger"),),)  # type: ignore[index]


def context(directory: Path, name: str, *, purpose: int) -> ssl.SSLContext:
    it = ssl.SSLContext(purpose)
    it.load_verify_locations(ca_path(directory))
    it.load_cert_chain(certificate_path(directory, name))
    it.verify_mode = ssl.CERT_REQUIRED
    return it


def shake(side: ssl.SSLObject) -> None:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return


def test_renewed_ones_last_longer_and_are_of_the_same_authority(tmp_path: Path) -> None:
    make_certificates(tmp_path, names=NAMES, now=NOW)
    before, later = contents(tmp_path), NOW + 300 * DAY
    assert make_certificates(tmp_path, names=NAMES, now=later, renew=True) == list(NAMES)
    assert (tmp_path / "ca.pem").read_bytes() == before["ca.pem"]
    check_certificates(tmp_path, names=NAMES, now=later + 300 * DAY)
    assert all(contents(tmp_path)[f"{name}.pem"] != before[f"{name}.pem"] for name in NAMES)


def test_how_long_each_lasts_is_told(tmp_path: Path) -> None:
    make_certificates(tmp_path, names=NAMES, now=NOW)
    told = certificate_statuses(tmp_path, names=(*NAMES, "not there"), now=NOW + 340 * DAY)
    assert [it.name for it in told] == ["authority", *NAMES]
    assert [it.is_due for it in told] == [False, True, True]
    assert told[1].days_left == CERTIFICATE_DAYS - 340


def test_an_expired_certificate_says_what_to_do(tmp_path: Path) -> None:
    make_certificates(tmp_path, names=NAMES, now=NOW)
    with pytest.raises(InvalidInput, match=r"of gateway expired on 2027-11-22 .*`slipway init --renew`"):
        check_certificates(tmp_path, names=NAMES, now=NOW + CERTIFICATE_DAYS * DAY)
    with pytest.raises(InvalidInput, match=r"valid only from 2026-11-21 23:55 UTC: is the clock right"):
        check_certificates(tmp_path, names=NAMES, now=NOW - DAY)
    with pytest.raises(InvalidInput, match="of authority expired on 2036-11-19"):
        make_certificates(tmp_path, names=NAMES, now=NOW + 3650 * DAY)


def test_a_certificate_of_another_authority_says_what_to_do(tmp_path: Path) -> None:
    for stack in ("ours", "theirs"):
        make_certificates(tmp_path / stack, names=NAMES, now=NOW)
    path = certificate_path(tmp_path / "ours", "gateway")
    path.write_bytes(certificate_path(tmp_path / "theirs", "gateway").read_bytes())
    with pytest.raises(InvalidInput, match=r"of gateway in .* was not issued by the authority beside it"):
        check_certificates(tmp_path / "ours", names=NAMES, now=NOW)


def test_a_key_of_another_certificate_says_what_to_do(tmp_path: Path) -> None:
    make_certificates(tmp_path, names=NAMES, now=NOW)
    other = certificate_path(tmp_path, "retrain_trigger").read_bytes()
    path = certificate_path(tmp_path, "gateway")
    own = path.read_bytes()
    begin = b"-----BEGIN CERTIFICATE"
    path.write_bytes(other[: other.index(begin)] + own[own.index(begin) :])
    with pytest.raises(InvalidInput, match=r"key of gateway in .* do not belong together"):
        check_certificates(tmp_path, names=NAMES, now=NOW)


def test_a_file_that_holds_no_certificate_is_named(tmp_path: Path) -> None:
    make_certificates(tmp_path, names=NAMES, now=NOW)
    certificate_path(tmp_path, "gateway").write_text("nothing")
    with pytest.raises(InvalidInput, match=r"cannot read the certificate .*gateway\.pem"):
        check_certificates(tmp_path, names=NAMES, now=NOW)
