"""The document that is saved, opened and carried inside a report's PDF."""

from advisor.session.autosave import Autosave, Restored, is_aside
from advisor.session.document import (
    VERSION,
    DataVersions,
    ModelChoice,
    NotASession,
    Outcome,
    PlaceTotal,
    PlanFound,
    PriceUsed,
    ReportChoices,
    Session,
    loads,
    migrate,
)
from advisor.session.files import ATTACHMENT_NAME, SUFFIX, fingerprint, load, save
from advisor.session.recent import forget_file, recent_files, remember_file
from advisor.session.shared import for_others

__all__ = [
    "ATTACHMENT_NAME",
    "SUFFIX",
    "VERSION",
    "Autosave",
    "DataVersions",
    "ModelChoice",
    "NotASession",
    "Outcome",
    "PlaceTotal",
    "PlanFound",
    "PriceUsed",
    "ReportChoices",
    "Restored",
    "Session",
    "fingerprint",
    "for_others",
    "forget_file",
    "is_aside",
    "load",
    "loads",
    "migrate",
    "recent_files",
    "remember_file",
    "save",
]
