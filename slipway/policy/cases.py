"""A user's own cases: who may do what, written down beside the policies and checked against them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from slipway.errors import InvalidInput
from slipway.identity.caller import DEFAULT_TENANT, Caller, Method
from slipway.policy.engine import Verdict, decide
from slipway.policy.resource import Resource
from slipway.policy.routes import ACTIONS
from slipway.policy.rules import CASES, Rules
from slipway.spec_sections import Section
from slipway.watched_files import Files
from slipway.yaml_source import YamlSource

Names = Annotated[tuple[str, ...], Field(strict=False)]


class Case(Section):
    """One line of expectation."""

    principal: Annotated[str, Field(min_length=1)] = "somebody"
    tenant: Annotated[str, Field(min_length=1)] = DEFAULT_TENANT
    roles: Names = ()
    method: Method = "api_key"
    action: str
    model: str = ""  # empty: the tenant itself
    of_tenant: str = ""  # whose model; empty: the principal's own tenant's
    version: str = ""
    data_classes: Names = ()
    purpose: str = ""
    environment: str = "production"
    approvers: Names = ()
    trained_by: Names = ()
    expect: Literal["allow", "deny"]

    @property
    def caller(self) -> Caller:
        """Who asks."""
        return Caller(principal=self.principal, tenant=self.tenant, roles=self.roles, method=self.method)

    @property
    def resource(self) -> Resource:
        """What it is about."""
        tenant = self.of_tenant or self.tenant
        if not self.model:
            return Resource(tenant=tenant)
        return Resource(
            tenant=tenant,
            model=self.model,
            version=self.version,
            data_classes=tuple(sorted(set(self.data_classes))),
            purpose=self.purpose,
            environment=self.environment,
            approvers=tuple(sorted(set(self.approvers))),
            trained_by=tuple(sorted(set(self.trained_by))),
        )


class _CaseFile(Section):
    cases: Annotated[tuple[Case, ...], Field(min_length=1, strict=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a case."""

    file: str
    line: int
    case: Case
    verdict: Verdict

    @property
    def is_as_expected(self) -> bool:
        """Whether the policies say what the case says; a policy that fails is never what was meant."""
        return not self.verdict.errors and self.verdict.is_allowed == (self.case.expect == "allow")


def run_cases(rules: Rules, files: Files) -> list[Outcome]:
    """Put every case of the files to the policies.

    Raises:
        InvalidInput: Names file, line and key of what is no case.
    """
    return [
        Outcome(
            file=name,
            line=line,
            case=case,
            verdict=decide(rules, case.caller, action=case.action, resource=case.resource),
        )
        for name, content in sorted(files.items())
        if name.endswith(CASES)
        for line, case in _read(name, content)
    ]


def _read(name: str, content: bytes) -> Iterator[tuple[int, Case]]:
    try:
        source = YamlSource(content.decode())
        found = _CaseFile.model_validate(source.plain())
    except ValidationError as error:
        told = [(source.line_of(p["loc"]), ".".join(map(str, p["loc"])), p["msg"]) for p in error.errors()]
        words = "; ".join(f"{name} line {line}: {key}: {what}" for line, key, what in told)
        raise InvalidInput(words) from error
    except (InvalidInput, UnicodeDecodeError) as error:
        raise InvalidInput(f"{name}: {error}") from error
    for at, case in enumerate(found.cases):
        line = source.line_of(("cases", at))
        if case.action not in ACTIONS:
            raise InvalidInput(f"{name} line {line}: no action {case.action!r}; known: {', '.join(ACTIONS)}")
        yield line, case
