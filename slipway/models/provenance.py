"""A registered version and its signature: checked before it is served, given to one that has none."""

from slipway.errors import InvalidInput, NotFound
from slipway.models.signing import Maker, Statement, Trust
from slipway.registry import MODEL_FILE, SIGNATURE_FILE, RegisteredVersion, Registry, digest_of


def load_envelope(registry: Registry, version: RegisteredVersion) -> bytes:
    """The signature that is stored with a version.

    Raises:
        InvalidInput: There is none; says what to do.
    """
    try:
        return registry.load_file(version, SIGNATURE_FILE)
    except NotFound as error:
        raise InvalidInput(
            f"{version.model} version {version.version} is not signed; if you know where it comes from, "
            f"`slipway models sign {version.model} {version.version}` as administrator"
        ) from error


def check_files(registry: Registry, version: RegisteredVersion, *, statement: Statement) -> None:
    """Hold every file that the statement names against its digest.

    Raises:
        InvalidInput: One was changed after it was signed.
    """
    for name, digest in statement.files.items():
        found = digest_of(registry.load_file(version, name))
        if found != digest:
            raise InvalidInput(
                f"{version.model} version {version.version}: {name} hashes to {found}, not to the signed "
                f"{digest}; it was changed after registration, register the version anew"
            )


def check_version(registry: Registry, version: RegisteredVersion, *, trust: Trust, digest: str) -> bytes:
    """Verify a version's signature and all that it covers but the model; returns the envelope.

    Raises:
        InvalidInput: It is unsigned, wrongly signed, about other bytes, or a file was changed.
    """
    envelope = load_envelope(registry, version)
    statement = trust.verify(envelope, model=version.model, digest=digest)
    check_files(registry, version, statement=statement)
    return envelope


def sign_version(registry: Registry, version: RegisteredVersion, *, maker: Maker, tenant: str) -> None:
    """Sign what is stored of a version now; replaces the signature it has.

    Raises:
        NotFound: The version's files are gone.
        InvalidInput: The model's bytes are not what was registered.
    """
    files = {MODEL_FILE: registry.load_onnx(version, digest=version.digest)}
    for name in registry.list_files(version):
        if name not in (MODEL_FILE, SIGNATURE_FILE):
            files[name] = registry.load_file(version, name)
    registry.store_signature(version, maker.vouch(version.model, files, digest=version.digest, tenant=tenant))
