"""The binding must keep its references: PySide6 6.12.0 lost them and aborted on Python 3.11."""

import sys

from PySide6.QtCore import QObject


def test_void_calls_keep_the_reference_count_of_none() -> None:
    target = QObject()
    before = sys.getrefcount(None)
    for _ in range(1000):
        target.setObjectName("name")
    assert sys.getrefcount(None) > before - 500
