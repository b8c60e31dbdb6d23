"""The Fit page as its tests use it: what is asked of it, and what it says of the chosen cell."""

from PySide6.QtWidgets import QLabel, QPushButton

from advisor.hardware.compose import parse_rig
from advisor.ui.pages.fit import FitPage

ONE_CARD = "RTX 4090 + 64 GB DDR5-6000"


def ask(qtbot, state, model: str, file_type: str, ctx: int, *, rig: str = ONE_CARD) -> None:
    state.set_rig(parse_rig(rig))
    state.choose_model(model, file_type)
    state.change_settings(ctx=ctx)
    qtbot.waitUntil(
        lambda: (
            state.plan is not None
            and (state.plan.file_type, state.plan.settings.ctx) == (file_type, ctx)
        ),
    )


def ways(fit: FitPage) -> dict[str, QPushButton]:
    found = fit.why.findChildren(QPushButton)
    return {b.accessibleName().removeprefix("Apply: "): b for b in found if b.isVisibleTo(fit.why)}


def words(fit: FitPage) -> str:
    return "\n".join(x.text() for x in fit.why.findChildren(QLabel) if x.isVisibleTo(fit.why))


def shows_plan(fit: FitPage) -> bool:
    """Whether all cards are of the present question: they are filled in turns."""
    return fit.state.present_plan is not None and not fit._unseen


def shows_why(fit: FitPage) -> bool:
    """Whether it is of the present plan, and all of it."""
    due = fit.state.present_plan is None or fit._show_plan in fit._unseen
    return not due and fit.why.isVisible() and fit.why.isEnabled()
