"""What the Machine page's cards ask for: facts, corrections, a measurement, a rig that differs."""

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QDialog, QInputDialog, QWidget

from advisor.errors import RigAdvisorError
from advisor.hardware.rig import Rig
from advisor.ui import services
from advisor.ui.jobs import run_task
from advisor.ui.pages.machine_facts import FactsDialog
from advisor.ui.pages.measure_ram import measure_ram
from advisor.ui.state import AppState
from advisor.ui.widgets.basics import Banner


class MachineEdits(QObject):
    """Opens dialogs over the page and changes the rig in question; says in its banner why not.

    Devices and machines are named by their place in the rig.
    """

    measuring = Signal(bool)
    """The RAM is being measured, or no longer is."""

    def __init__(self, page: QWidget, state: AppState, banner: Banner) -> None:
        super().__init__(page)
        self._page = page
        self._state = state
        self._banner = banner

    def complain(self, error: RigAdvisorError) -> None:
        """Say why something was not done."""
        self.measuring.emit(False)
        self._banner.say(str(error), "bad")

    def change(self, make: services.RigMaker) -> None:
        """Ask about the rig that ``make`` makes."""
        try:
            rig = make()
        except RigAdvisorError as error:
            self.complain(error)
            return
        self._banner.dismiss()
        self._state.set_rig(rig)

    # this machine

    def read_again(self) -> None:
        """Drivers and cables change while the window is open."""
        run_task(
            lambda _job: services.detect(),
            on_result=self._read,
            on_error=self.complain,
            owner=self,
        )

    def _read(self, rig: Rig) -> None:
        self._banner.dismiss()
        self._state.set_detected(rig)
        self._state.noticed.emit(self.tr("The machine was read again"))

    def measure(self) -> None:
        """Measure the RAM for a second."""
        self.measuring.emit(True)
        measure_ram(self._state, self, lambda: self.measuring.emit(False), self.complain)

    # facts

    def host_facts(self, index: int, title: str) -> None:
        """Everything known of a machine; ``title`` is what its card calls it."""
        rig = self._state.rig
        if rig is not None and index < len(rig.hosts):
            self._open(FactsDialog(self._page, rig.hosts[index], title))

    def device_facts(self, index: int) -> None:
        """Everything known of a device, and correcting it."""
        rig = self._state.rig
        if rig is None or index >= len(rig.devices):
            return
        device = rig.devices[index]

        def correct(memory: int | None, bandwidth: float | None) -> None:
            here = self._state.here
            try:
                own = rig if here else rig.model_copy(update={"imagined": True})
                changed = services.corrected(own, index, memory, bandwidth)
            except RigAdvisorError as error:
                self.complain(error)
                return
            if here:
                self._state.set_detected(changed)
            else:
                self._state.set_rig(changed)

        def forget() -> None:
            run_task(
                lambda _job: services.forget_correction(device),
                on_result=self._read,
                on_error=self.complain,
                owner=self,
            )

        undo = forget if self._state.here else None
        self._open(FactsDialog(self._page, device, device.name, correct=correct, forget=undo))

    # what if

    def without_machine(self, index: int) -> None:
        """What if a machine were not there."""
        rig = self._state.rig
        if rig is not None:
            self.change(lambda: services.without_machine(rig, index))

    def without(self, index: int) -> None:
        """What if a device were not there."""
        rig = self._state.rig
        if rig is not None:
            self.change(lambda: services.without(rig, index))

    def swap(self, index: int) -> None:
        """Ask what a device might be instead."""
        rig = self._state.rig
        if rig is None:
            return
        dialog = QInputDialog(self._page)
        dialog.setWindowTitle(self.tr("Swap a card"))
        dialog.setLabelText(
            self.tr("What would be in the place of {name}, for example RTX 5090?").format(
                name=rig.devices[index].name
            )
        )
        dialog.textValueSelected.connect(
            lambda words: self.change(lambda: services.with_swapped(rig, index, words))
        )
        self._open(dialog)

    def _open(self, dialog: QDialog) -> None:
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()
