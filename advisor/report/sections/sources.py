"""The report's last part: what was assumed, where figures come from, and how to repeat them."""

import importlib.metadata

from advisor.hardware.rig import Rig
from advisor.report.document import Block, Bullets, Cell, Column, Heading, Paragraph, Table
from advisor.session import Session
from advisor.sizing.plan import LLAMA_CPP, Plan


def source_blocks(session: Session, rig: Rig, plan: Plan | None) -> list[Block]:
    """Terms explained once, then assumptions, data and their dates."""
    blocks: list[Block] = [
        Heading(text="Assumptions and sources"),
        Paragraph(
            text=(
                "Figures marked c are computed by Rig Advisor from the model's list of tensors; "
                "d is llama.cpp's own accounting of the same run; m was measured. GiB are 2³⁰ "
                "bytes, GB/s are 10⁹ bytes per second. Speeds are ranges until they are measured."
            )
        ),
        _terms(),
        Heading(level=3, text="Assumed"),
        Bullets(items=tuple(_assumptions(session)), style="small"),
        Heading(level=3, text="Data"),
        Bullets(items=tuple(_data(rig, plan)), style="small"),
    ]
    return blocks


def _terms() -> Table:
    rows = (
        (
            "Quantization",
            "Storing a model's numbers in fewer bits: smaller and faster, less exact.",
        ),
        ("Context", "How many tokens (about ¾ of a word each) the model can look back on."),
        ("KV cache", "Memory for that context; it grows with its length."),
        ("Prefill, decode", "Reading the prompt; writing the answer, one token at a time."),
        ("Experts", "Parts of some models of which only a few work on each token."),
        ("Headroom", "Memory left free while the model runs."),
    )
    return Table(
        columns=(Column(title="Term", weight=1), Column(title="Meaning", weight=4)),
        rows=tuple((Cell(text=term, strong=True), Cell(text=meaning)) for term, meaning in rows),
    )


def _assumptions(session: Session) -> list[str]:
    settings, usage = session.settings, session.usage
    return [
        (
            f"{usage.requests_per_month:,} requests a month; {usage.prompt_tokens:,} prompt and "
            f"{usage.output_tokens:,} answer tokens each; {usage.cached_share:.0%} of the prompt "
            "repeats."
        ),
        (
            f"Context {settings.ctx:,} tokens in {settings.parallel} slot(s), KV cache "
            f"{settings.ctk}/{settings.ctv}, flash attention {settings.flash_attn}, ubatch "
            f"{settings.ubatch_size}."
        ),
        f"Horizon {usage.horizon_months} months. Cooling, maintenance and your time are left out.",
    ]


def _data(rig: Rig, plan: Plan | None) -> list[str]:
    facts = [
        (
            f"Memory rules of llama.cpp {LLAMA_CPP}; embedded engine xllamacpp "
            f"{importlib.metadata.version('xllamacpp')}."
        ),
        f"API prices: genai-prices {importlib.metadata.version('genai-prices')}, read offline.",
        f"Rig: {'imagined' if rig.imagined else 'detected ' + (rig.detected_at or '')}.",
    ]
    sources = {source for device in rig.devices for source in device.sources.values()}
    sources |= set(rig.host.sources.values())
    if sources:
        facts.append(f"Hardware facts from: {'; '.join(sorted(sources))}.")
    if plan is not None:
        found = {term.source for e in plan.explanations.values() for term in e.terms if term.source}
        if found:
            facts.append(f"Formulas from: {'; '.join(sorted(found)[:24])}.")
    return facts
