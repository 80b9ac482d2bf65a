"""What each rule and each check of the comparison itself has to say, in a word and in plain words."""

from dataclasses import dataclass
from enum import StrEnum
from math import exp, log
from typing import Final

from services.rollout.domain import rule_evidence
from services.rollout.domain.alpha_split import is_rejected
from services.rollout.domain.label_coverage import Coverage
from services.rollout.domain.rule import Rule
from services.rollout.domain.rule_evidence import RuleEvidence
from services.rollout.domain.sample_ratio import SampleRatio

# Stricter than a rule's alpha: a broken split is a fault of the system, not of the version.
CHECK_ALPHA: Final = 0.001


class Standing(StrEnum):
    """How far a rule or a check is."""

    HARM = "harm"
    GATHERING = "gathering"
    CLEAR = "clear"  # enough samples, no evidence of harm; no proof was asked
    PROVEN = "proven"  # not worse by the margin or more


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the evidence table.

    Attributes:
        needed: Samples that the rule asks for.
        log_harm_limit: Harm at this log e-value.
        log_proof_limit: Proven at this log e-value; 0 where no proof is asked.
        text: In plain words.
    """

    name: str
    standing: Standing
    is_guardrail: bool = False
    is_dry_run: bool = False
    samples: int = 0
    needed: int = 0
    log_e_harm: float = 0.0
    log_harm_limit: float = 0.0
    log_e_proof: float = 0.0
    log_proof_limit: float = 0.0
    text: str

    @property
    def passes(self) -> bool:
        """Whether this line lets the version go on."""
        return self.standing in (Standing.CLEAR, Standing.PROVEN)


def find(rule: Rule, state: RuleEvidence, *, alpha: float, proof_alpha: float) -> Finding:
    """Judge one rule.

    Args:
        rule: Checked.
        state: What it saw.
        alpha: Its part of the rollout's alpha, for evidence of harm.
        proof_alpha: For proofs: all of them are needed, so none needs a smaller part (Berger,
            Multiparameter hypothesis testing and acceptance sampling, Technometrics 24, 1982).
    """
    seen = rule_evidence.samples(state, rule)
    harm, proof = rule_evidence.log_e_harm(state, rule), rule_evidence.log_e_proof(state, rule)
    standing = Standing.GATHERING
    if is_rejected(harm, alpha=alpha):
        standing = Standing.HARM
    elif seen >= rule.min_samples and rule.margin is None:
        standing = Standing.CLEAR
    elif seen >= rule.min_samples and is_rejected(proof, alpha=proof_alpha):
        standing = Standing.PROVEN
    return Finding(
        name=rule.name,
        standing=standing,
        is_guardrail=rule.is_guardrail,
        is_dry_run=rule.is_dry_run,
        samples=seen,
        needed=rule.min_samples,
        log_e_harm=harm,
        log_harm_limit=-log(alpha),
        log_e_proof=proof,
        log_proof_limit=0.0 if rule.margin is None else -log(proof_alpha),
        text=_rule_text(rule, seen, e_values=(harm, proof), alphas=(alpha, proof_alpha)),
    )


def find_sample_ratio(ratio: SampleRatio) -> Finding:
    """Judge whether each arm got its traffic."""
    log_e = ratio.log_e_value
    is_broken = is_rejected(log_e, alpha=CHECK_ALPHA)
    return Finding(
        name="sample ratio",
        standing=Standing.HARM if is_broken else Standing.CLEAR,
        samples=sum(ratio.counts),
        log_e_harm=log_e,
        log_harm_limit=-log(CHECK_ALPHA),
        text=f"units per arm {', '.join(f'{c:,}' for c in ratio.counts)} at shares "
        f"{', '.join(f'{s:g}' for s in ratio.shares)}: {_e_text('mismatch', log_e, CHECK_ALPHA)}",
    )


def find_coverage(coverage: Coverage, *, tolerance: float, min_matured: int) -> Finding:
    """Judge whether both arms are labelled alike.

    Args:
        coverage: Cohorts closed so far.
        tolerance: Largest accepted difference of the labelled shares, 0..1.
        min_matured: Matured requests that each arm must have.
    """
    matured = min(coverage.canary.served, coverage.champion.served)
    standing = Standing.CLEAR
    if is_rejected(coverage.log_e_value, alpha=CHECK_ALPHA) and abs(coverage.gap) > tolerance:
        standing = Standing.HARM
    elif matured < min_matured or abs(coverage.gap) > tolerance:
        standing = Standing.GATHERING
    return Finding(
        name="label coverage",
        standing=standing,
        samples=matured,
        needed=min_matured,
        log_e_harm=coverage.log_e_value,
        log_harm_limit=-log(CHECK_ALPHA),
        text=f"{matured:,} of {min_matured:,} matured requests, labelled {coverage.canary.share:.1%} of the "
        f"canary's and {coverage.champion.share:.1%} of the champion's: "
        f"{_e_text('difference', coverage.log_e_value, CHECK_ALPHA)}",
    )


def _rule_text(rule: Rule, seen: int, *, e_values: tuple[float, float], alphas: tuple[float, float]) -> str:
    where = f" in {rule.slice_name}" if rule.slice_name else ""
    said = [
        f"{rule.name}{where}: {seen:,} of {rule.min_samples:,} {rule.samples_noun}",
        _e_text("harm", e_values[0], alphas[0]),
    ]
    if rule.margin is not None:
        said.append(_e_text(f"proof within {rule.margin:g}", e_values[1], alphas[1]))
    if rule.is_dry_run:
        said.append("dry run")
    return ", ".join(said)


def _e_text(of_what: str, log_e: float, alpha: float) -> str:
    return f"{of_what} e-value {exp(min(log_e, 700.0)):.2g} of {1 / alpha:.4g}"
