"""`issuers.yaml`: whose tokens and certificates are believed, and whom they stand for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from slipway.errors import InvalidInput
from slipway.identity.api_keys import check_name, check_principal, check_roles
from slipway.identity.json_web_keys import KeySet, read_keys
from slipway.spec_sections import Section
from slipway.watched_files import Files
from slipway.yaml_problems import YamlProblems, problem_at, read_sections
from slipway.yaml_source import Path

FILE: Final = "issuers.yaml"
PATTERNS: Final = (FILE, "jwks/*.json")

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
ClaimPath = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    Field(min_length=1, max_length=8, strict=False),
]
Text = Annotated[str, Field(min_length=1, max_length=1000)]
Seconds = Annotated[float, Field(ge=0, le=30 * 24 * 3600)]


class PrincipalClaim(Section):
    """Where a token says who somebody is; the prefix keeps people of two issuers apart."""

    claim: ClaimPath = ("sub",)
    prefix: str = ""


class TenantClaim(Section):
    """Whose models a token opens: always the same tenant's, or what it says of those that are allowed."""

    fixed: str = ""
    claim: ClaimPath | None = None
    allowed: Annotated[tuple[str, ...], Field(strict=False)] = ()


class RolesClaim(Section):
    """Which roles a token carries: those that its values are mapped to, and some that all have."""

    claim: ClaimPath | None = None
    map: dict[str, str] = Field(default_factory=dict)
    always: Annotated[tuple[str, ...], Field(strict=False)] = ()


class Issuer(Section):
    """Whoever issues JSON Web Tokens."""

    issuer: Text
    audience: Text
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1, strict=False)]
    jwks_url: str = ""
    jwks_file: str = ""
    types: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] = ("JWT", "at+jwt")
    principal: PrincipalClaim = PrincipalClaim()
    tenant: TenantClaim = TenantClaim(fixed="default")
    roles: RolesClaim = RolesClaim(always=("app",))
    leeway_s: Annotated[float, Field(ge=0, le=300)] = 30.0
    refresh_s: Annotated[float, Field(ge=10, le=24 * 3600)] = 300.0
    stale_after_s: Seconds = 24 * 3600.0


class CertificateRule(Section):
    """Whom a client certificate stands for; a name may end (uri) or begin (dns) with one `*`."""

    uri: str = ""
    dns: str = ""
    subject: str = ""
    principal: str = ""
    tenant: str = "default"
    roles: Annotated[tuple[str, ...], Field(min_length=1, strict=False)]


class AccessFile(Section):
    """The whole file."""

    issuers: Annotated[tuple[Issuer, ...], Field(max_length=64, strict=False)] = ()
    certificates: Annotated[tuple[CertificateRule, ...], Field(max_length=1000, strict=False)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What the file means: issuers by their names, their keys where those are files, and certificates."""

    issuers: Mapping[str, Issuer]
    file_keys: Mapping[str, KeySet]
    certificates: tuple[CertificateRule, ...]


def parse(files: Files) -> Access:
    """Read the file and the key sets that it names.

    Raises:
        InvalidInput: Every problem with its line and key; nothing of the file is in force then.
    """
    if FILE not in files:
        return Access(issuers={}, file_keys={}, certificates=())
    try:
        text = files[FILE].decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{FILE}: not UTF-8: {error}") from error
    it, source = read_sections(text, AccessFile, what=FILE)
    found = [*_issuer_problems(it), *_certificate_problems(it)]
    file_keys: dict[str, KeySet] = {}
    for at, issuer in enumerate(it.issuers):
        if issuer.jwks_file:
            try:
                file_keys[issuer.issuer] = _file_keys(issuer, files)
            except InvalidInput as error:
                found.append((("issuers", at, "jwks_file"), str(error)))
    if found:
        raise YamlProblems(FILE, [problem_at(source, path, what) for path, what in found])
    return Access(
        issuers={issuer.issuer: issuer for issuer in it.issuers},
        file_keys=file_keys,
        certificates=it.certificates,
    )


def _file_keys(issuer: Issuer, files: Files) -> KeySet:
    data = files.get(issuer.jwks_file)
    if data is None:
        raise InvalidInput(f"there is no {issuer.jwks_file!r} beside {FILE}; files stand in jwks/*.json")
    return read_keys(data, issuer.algorithms)


def _issuer_problems(it: AccessFile) -> Iterator[tuple[Path, str]]:
    names = [issuer.issuer for issuer in it.issuers]
    for at, issuer in enumerate(it.issuers):
        if issuer.issuer in names[:at]:
            yield ("issuers", at, "issuer"), f"{issuer.issuer!r} is listed twice"
        for key, what in (*_source_problems(issuer), *_mapping_problems(issuer)):
            yield ("issuers", at, key), what


def _source_problems(issuer: Issuer) -> Iterator[tuple[str, str]]:
    if bool(issuer.jwks_url) == bool(issuer.jwks_file):
        yield "issuer", "needs one of `jwks_url` and `jwks_file`"
    if issuer.jwks_url and not is_safe_url(issuer.jwks_url):
        yield "jwks_url", "must be https://, or http:// on a loopback address, without a user or a fragment"
    if issuer.jwks_url and issuer.stale_after_s <= issuer.refresh_s:
        yield "stale_after_s", f"is not above refresh_s ({issuer.refresh_s:g})"


def _mapping_problems(issuer: Issuer) -> Iterator[tuple[str, str]]:
    tenant, roles = issuer.tenant, issuer.roles
    if bool(tenant.fixed) == bool(tenant.claim):
        yield "tenant", "needs one of `fixed` and `claim`"
    if bool(tenant.claim) != bool(tenant.allowed):
        yield "tenant", "`claim` and `allowed` go together: an issuer names only tenants that are its own"
    if bool(roles.claim) != bool(roles.map):
        yield "roles", "`claim` and `map` go together: only values that are mapped become roles"
    if not (roles.map or roles.always):
        yield "roles", "nobody of this issuer could have a role; give `map` or `always`"
    yield from _name_problems("tenant", [tenant.fixed] if tenant.fixed else tenant.allowed)
    yield from _role_problems("roles", (*roles.map.values(), *roles.always))


def _certificate_problems(it: AccessFile) -> Iterator[tuple[Path, str]]:
    for at, rule in enumerate(it.certificates):
        for key, what in _rule_problems(rule):
            yield ("certificates", at, key), what


def _rule_problems(rule: CertificateRule) -> Iterator[tuple[str, str]]:
    names = [name for name in ("uri", "dns", "subject") if getattr(rule, name)]
    if len(names) != 1:
        yield "principal", "needs one of `uri`, `dns` and `subject`"
    stars = rule.uri.count("*") + rule.dns.count("*")
    if stars and (stars > 1 or not (rule.uri.endswith("/*") or rule.dns.startswith("*."))):
        yield names[0], "`*` stands for the last part of a uri or the first of a dns name, and only once"
    if bool(rule.principal) == bool(stars):
        yield "principal", "is needed where no `*` stands for it, and only there"
    if rule.principal:
        try:
            check_principal(rule.principal)
        except InvalidInput as error:
            yield "principal", str(error)
    yield from _name_problems("tenant", [rule.tenant])
    yield from _role_problems("roles", rule.roles)


def _name_problems(key: str, names: "tuple[str, ...] | list[str]") -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            check_name(key, name)
        except InvalidInput as error:
            yield key, str(error)


def _role_problems(key: str, roles: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    try:
        if roles:
            check_roles(roles)
    except InvalidInput as error:
        yield key, str(error)


def is_safe_url(url: str) -> bool:
    """Whether keys may be read from there: nobody on the way may change them."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.username or parts.password or parts.fragment or not host:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
