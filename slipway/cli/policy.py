"""`slipway policy check | test | explain | show`: who may do what; from the files, without a stack."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from slipway.cli.terminal import CONSOLE, Json, print_json
from slipway.errors import InvalidInput
from slipway.identity.caller import DEFAULT_TENANT
from slipway.policy.access import PATTERNS
from slipway.policy.cases import Case, Outcome, run_cases
from slipway.policy.engine import decide, words_of
from slipway.policy.routes import ACTIONS
from slipway.policy.rules import CASES, FOLDER, Rules, builtin_text, read_rules
from slipway.stack.layout import find_layout
from slipway.watched_files import WatchedFiles

app = typer.Typer(help="Check, test, explain and show who may do what.", no_args_is_help=True)
_Folder = Annotated[
    Path | None,
    typer.Argument(metavar="DIR", help="With *.cedar and *.cases.yaml; else access/policies of the stack."),
]
_Tenant = Annotated[str, typer.Option("--tenant", help="Whose principal it is.")]


@app.command()
def check(folder: _Folder = None, *, json_out: Json = False) -> None:
    """Read the policies as a service would; a problem is told with file and line.

    Examples:

        slipway policy check

        slipway policy check ./policies
    """
    _, rules = _read(folder)
    own = len({rule.file for rule in rules.by_id.values()}) - 1
    if json_out:
        print_json({"policy_hash": rules.policy_hash, "policies": len(rules.by_id), "own_files": own})
        return
    typer.echo(f"{len(rules.by_id)} policies, {own} files of your own: good; policy hash {rules.policy_hash}")


@app.command(name="test")
def put_cases(folder: _Folder = None, *, json_out: Json = False) -> None:
    """Put your own cases (*.cases.yaml) to the policies; ends with code 1 where one is otherwise.

    Examples:

        slipway policy test

        slipway policy test ./policies --json
    """
    files, rules = _read(folder)
    outcomes = run_cases(rules, files)
    if not outcomes:
        raise InvalidInput(f"no cases: write some into a file *{CASES} beside the policies")
    failed = [outcome for outcome in outcomes if not outcome.is_as_expected]
    if json_out:
        print_json([_plain(outcome) for outcome in outcomes])
    else:
        _show_outcomes(outcomes, failed)
    if failed:
        raise typer.Exit(1)


@app.command()
def explain(
    action: Annotated[str, typer.Option("--action", help=f"One of {', '.join(ACTIONS)}.")],
    principal: Annotated[str, typer.Option("--principal", help="Who asks.")] = "somebody",
    role: Annotated[list[str] | None, typer.Option("--role", help="What he carries; repeat it.")] = None,
    tenant: _Tenant = DEFAULT_TENANT,
    model: Annotated[str, typer.Option("--model", help="Which model; without, the tenant itself.")] = "",
    of_tenant: Annotated[str, typer.Option("--of-tenant", help="Whose model; else the same tenant's.")] = "",
    version: Annotated[str, typer.Option("--version", help="One version of it.")] = "",
    data_class: Annotated[list[str] | None, typer.Option("--data-class", help="Repeat it.")] = None,
    purpose: Annotated[str, typer.Option("--purpose", help="As in the spec's section `access`.")] = "",
    environment: Annotated[str, typer.Option("--environment", help="As there.")] = "production",
    trained_by: Annotated[list[str] | None, typer.Option("--trained-by", help="For `approve`.")] = None,
    folder: Annotated[Path | None, typer.Option("--dir", help="Policies; else those of the stack.")] = None,
    *,
    json_out: Json = False,
) -> None:
    """Say whether it is allowed, and which policy decided.

    Examples:

        slipway policy explain --principal anna --role viewer --action infer --model fraud --json

        slipway policy explain --principal anna --role owner --action approve --model fraud --version 3 \
--trained-by anna
    """
    of = Case(
        principal=principal,
        tenant=tenant,
        roles=tuple(role or ()),
        action=action,
        model=model,
        of_tenant=of_tenant,
        version=version,
        data_classes=tuple(data_class or ()),
        purpose=purpose,
        environment=environment,
        trained_by=tuple(trained_by or ()),
        expect="allow",
    )
    _tell(of, folder, json_out=json_out)


def _tell(of: Case, folder: Path | None, *, json_out: bool) -> None:
    if of.action not in ACTIONS:
        raise InvalidInput(f"no action {of.action!r}; known: {', '.join(ACTIONS)}")
    rules = _read(folder)[1]
    if json_out:
        print_json(_explained(of, rules))
    else:
        _explain(of, rules)


def _explained(of: Case, rules: Rules) -> dict[str, Any]:
    verdict = decide(rules, of.caller, action=of.action, resource=of.resource)
    return {
        "is_allowed": verdict.is_allowed,
        "principal": f"{of.tenant}/{of.principal}",
        "action": of.action,
        "resource": str(of.resource),
        "by": list(verdict.reasons),
        "errors": list(verdict.errors),
        "decision_id": verdict.decision.decision_id,
        "policy_hash": verdict.decision.policy_hash,
    }


def _explain(of: Case, rules: Rules) -> None:
    caller, resource = of.caller, of.resource
    verdict = decide(rules, caller, action=of.action, resource=resource)
    if verdict.is_allowed:
        typer.echo(f"allowed: {of.principal} may {of.action} {resource}, by {', '.join(verdict.reasons)}")
    else:
        typer.echo(f"denied: {words_of(rules, caller, verdict, action=of.action, resource=resource)}")
        for error in verdict.errors:
            typer.echo(f"  {error}")
    typer.echo(f"decision {verdict.decision.decision_id}, policy hash {verdict.decision.policy_hash}")


@app.command()
def show(
    folder: _Folder = None,
    *,
    builtin: Annotated[bool, typer.Option("--builtin", help="Print the built-in policies.")] = False,
    json_out: Json = False,
) -> None:
    """List the policies, the hash that stands in records, and whether all files are in force.

    Examples:

        slipway policy show

        slipway policy show --builtin
    """
    if builtin:
        typer.echo(builtin_text())
        return
    _, rules = _read(folder)
    if json_out:
        print_json({"policy_hash": rules.policy_hash, "policies": [str(r) for r in rules.by_id.values()]})
        return
    table = Table("policy", "where", "effect")
    for rule in rules.by_id.values():
        table.add_row(escape(rule.label or "-"), f"{rule.file} line {rule.line}", rule.effect)
    CONSOLE.print(table)
    typer.echo(f"policy hash {rules.policy_hash}")


def problem_of_stack() -> str:
    """Why the stack's policy files are not in force; empty while they are."""
    try:
        _read(None)
    except InvalidInput as error:
        return str(error)
    return ""


_TAKE_ALL: Final = "*"


def _read(folder: Path | None) -> tuple[dict[str, bytes], Rules]:
    """The files of a folder, and the rules that they and the built-in ones make.

    Raises:
        InvalidInput: The folder is not there, or the policies are not good.
    """
    if folder is None:
        files: WatchedFiles[dict[str, bytes]] = WatchedFiles(find_layout().access, PATTERNS, parse=dict)
        return files.current, read_rules(files.current)
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is not a folder")
    own = WatchedFiles(folder, (_TAKE_ALL,), parse=dict).current
    # Under the names that a service would know them by, so that the hash is the one that records carry.
    named = {f"{FOLDER}/{name}": content for name, content in own.items()}
    return named, read_rules(named)


def _show_outcomes(outcomes: list[Outcome], failed: list[Outcome]) -> None:
    table = Table("line", "who", "roles", "what", "expected", "is", "by")
    for outcome in outcomes:
        row = _plain(outcome)
        found = row["is"] if outcome.is_as_expected else f"[bold red]{row['is']}[/]"
        words = [row[name] for name in ("line", "principal", "roles", "what", "expected")]
        table.add_row(*map(escape, words), found, escape(row["by"]))
    CONSOLE.print(table)
    for outcome in failed:
        row = _plain(outcome)
        typer.echo(
            f"{row['case']}: expected {row['expected']}, is {row['is']}: {row['principal']} {row['what']}"
        )
    typer.echo(f"{len(outcomes)} cases, {len(failed)} otherwise than expected")


def _plain(outcome: Outcome) -> dict[str, Any]:
    case, verdict = outcome.case, outcome.verdict
    return {
        "case": f"{outcome.file} line {outcome.line}",
        "line": str(outcome.line),
        "principal": f"{case.tenant}/{case.principal}",
        "roles": ", ".join(case.roles) or "none",
        "what": f"{case.action} {case.resource}",
        "expected": case.expect,
        "is": "error" if verdict.errors else "allow" if verdict.is_allowed else "deny",
        "by": ", ".join(verdict.errors or verdict.reasons) or "no policy",
    }
