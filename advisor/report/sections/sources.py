"""The report's last part: what was assumed, where figures come from, and how to repeat them."""

import importlib.metadata
import re
from collections.abc import Iterable, Sequence
from typing import Final

from advisor.hardware.rig import Rig
from advisor.report.document import Block, Bullets, Cell, Column, Heading, Paragraph, Table
from advisor.report.sections.plan import has_speed, keeps_context
from advisor.report.terms import MEANINGS
from advisor.session import Session
from advisor.sizing import build_dates
from advisor.sizing.plan import LLAMA_CPP, Plan
from advisor.units import large_unit

_CODE: Final = re.compile(r"[\w./-]+\.(?:cpp|cuh?|c|h|hpp|py|metal)\b")
"""A place in llama.cpp's source; other sources of terms repeat what stands beside the figures."""
_PAGE: Final = re.compile(r"(.+) \((https?://\S+/)([^\s,/]+), ([^()]+)\)")
_UNVERIFIED: Final = ", unverified)"
_PARTLY: Final = ", partly unverified)"
_MEMORY: Final = {
    "GiB": "GiB are 2³⁰ bytes,",
    "GB": "GB are 10⁹ bytes (a card sold as 24 GB holds 25.8),",
}
_MAX_SOURCE: Final = 180
_SAID_BEFORE: Final = frozenset({"imagined", "as you wrote"})


def source_blocks(
    session: Session,
    rig: Rig | None,
    plan: Plan | None,
    changes: Sequence[str] = (),
    *,
    advised: bool = True,
    rules: str = LLAMA_CPP,
) -> list[Block]:
    """Terms explained once, then assumptions, data and their dates.

    ``rig`` is None where the report is not about one; ``changes`` say what is not as it was when
    the session was saved; ``advised``: whether the usage and prices were needed; ``rules``: by
    which build's rules memory is sized.
    """
    again: list[str] = []
    if not session.report.archival:
        again.append(
            "The report's PDF carries what it was made from: “rig-advisor report THIS.pdf --pdf "
            "ANEW.pdf” makes it again."
        )
    keeps = plan is None or keeps_context(plan)
    timed = advised or (plan is not None and has_speed(plan))
    blocks: list[Block] = [
        Heading(text="Assumptions and sources"),
        Paragraph(
            text=(
                "Figures marked c are computed by Rig Advisor from the model's list of tensors; "
                "d is llama.cpp's own accounting of the same run; m was measured. "
                f"{_MEMORY[large_unit()[1]]} "
                "GB/s are 10⁹ bytes per second."
                f"{' Speeds are ranges until they are measured.' if timed else ''}"
            )
        ),
        *(
            [_terms(keeps=keeps, timed=timed, with_experts=_mentions_experts(session, plan))]
            if plan is not None or advised
            else []
        ),
        Heading(level=3, text="Assumed, and the data"),
        Bullets(
            items=(
                *_assumptions(session, plan, advised=advised),
                *_data(rig, plan, rules, advised=advised),
                *changes,
                *again,
            ),
            style="small",
        ),
    ]
    return blocks


def _terms(*, keeps: bool, timed: bool, with_experts: bool) -> Table:
    """Those that this report uses."""
    used = {
        "Quantization": True,
        "Context": True,
        "KV cache": keeps,
        "Prefill, decode": timed,
        "Experts (mixture of experts, MoE)": with_experts,
    }
    rows = tuple((word, MEANINGS[word]) for word, is_used in used.items() if is_used)
    return Table(
        columns=(Column(title="Term", weight=1), Column(title="Meaning", weight=4)),
        rows=tuple((Cell(text=term, strong=True), Cell(text=meaning)) for term, meaning in rows),
    )


def _mentions_experts(session: Session, plan: Plan | None) -> bool:
    """Whether a page before this one speaks of experts."""
    if session.scenario is not None or plan is None:
        return True
    return bool(plan.settings.n_cpu_moe) or any("expert" in note for note in plan.notes)


def _assumptions(session: Session, plan: Plan | None, *, advised: bool) -> list[str]:
    usage = session.usage
    need = (
        f"{usage.requests_per_month:,} requests a month; {usage.prompt_tokens:,} prompt and "
        f"{usage.output_tokens:,} answer tokens each; {usage.cached_share:.0%} of the prompt "
        f"repeats. Horizon {usage.horizon_months} months."
    )
    facts = [need] if advised else []
    if plan is not None:
        settings, count = plan.settings, plan.settings.parallel
        slots = "one request at a time" if count == 1 else f"{count} requests at a time"
        told = build_dates.words(settings.built)
        build = f", speeds as of a llama.cpp of {told}" if told else ""
        facts.append(
            f"Context {settings.ctx:,} tokens for {slots}, KV cache {settings.ctk}/{settings.ctv}, "
            f"flash attention {settings.flash_attn}, micro-batch {settings.ubatch_size}{build}."
        )
    return facts


def _data(rig: Rig | None, plan: Plan | None, rules: str, *, advised: bool) -> list[str]:
    prices = importlib.metadata.version("genai-prices")
    fact = (
        f"Memory rules of llama.cpp {rules}; embedded engine xllamacpp "
        f"{importlib.metadata.version('xllamacpp')}."
    )
    facts = [f"{fact} API prices: genai-prices {prices}, read offline." if advised else fact]
    if rig is not None:
        facts.append(_rig_line(rig))
        found = {source for device in rig.devices for source in device.sources.values()}
        sources = [_short(s) for s in _distinct(found | set(rig.host.sources.values()))]
        if sources:
            facts.append(f"Hardware facts from: {'; '.join(sources)}.")
    if plan is not None:
        terms = [term for e in plan.explanations.values() for term in e.terms]
        places = sorted({m for t in terms for m in _CODE.findall(t.source or "")} - {"llama.cpp"})
        if places:
            facts.append(f"Formulas follow llama.cpp's {', '.join(places)}.")
    return facts


def _short(source: str) -> str:
    """A source without its details, which stand beside the fact in the window."""
    if len(source) <= _MAX_SOURCE:
        return source
    start = source[:_MAX_SOURCE]
    heads = [start.rpartition(sign)[0] for sign in (": ", "; ", ", ", " ")]
    return next((head for head in heads if len(head) > _MAX_SOURCE / 2), start) + " (in short)"


def _distinct(sources: Iterable[str]) -> list[str]:
    """Every source once: without what the report said before, and each table's page only once."""
    by_page: dict[str, str] = {}
    for source in sorted(sources):
        if source in _SAID_BEFORE:
            continue
        page = re.search(r"https?://[^\s,)]+", source)
        key = page.group() if page else source
        if key not in by_page:
            by_page[key] = source
        elif source.endswith(_UNVERIFIED) != by_page[key].endswith(_UNVERIFIED):
            by_page[key] = source.removesuffix(_UNVERIFIED).removesuffix(")") + _PARTLY
    return _by_site(by_page.values())


def _by_site(sources: Iterable[str]) -> list[str]:
    """Pages of one site, read on one day for one table, in one line."""
    pages: dict[tuple[str, str, str], list[str]] = {}
    lines: list[str] = []
    for source in sources:
        found = _PAGE.fullmatch(source)
        if found is None:
            lines.append(source)
        else:
            table, site, page, rest = found.groups()
            pages.setdefault((table, site, rest), []).append(page)
    for (table, site, rest), names in pages.items():
        lines.append(f"{table} ({site}{', '.join(names)}; {rest})")
    return lines


def _rig_line(rig: Rig) -> str:
    if rig.imagined:
        return f"The rig is imagined: {rig.name}."
    return f"The rig was detected {(rig.detected_at or '').replace('T', ' ')[:16]} UTC."
