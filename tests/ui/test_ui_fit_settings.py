"""The settings form: what is typed becomes settings, and what cannot be is said and undone."""

from PySide6.QtWidgets import QCheckBox, QComboBox, QLineEdit

from advisor.engine.told import embedded_version
from advisor.ui.pages.fit_settings import SettingsForm


def typed(form: SettingsForm, name: str, words: str) -> QLineEdit:
    line = next(line for line in form.findChildren(QLineEdit) if line.accessibleName() == name)
    line.setText(words)
    line.setModified(True)
    line.editingFinished.emit()
    return line


def test_patterns_are_split_and_bad_ones_said(qtbot, state) -> None:
    form = SettingsForm(state)
    form.pieces.all()
    qtbot.addWidget(form)
    typed(form, "Tensors by hand", "ffn_up_exps=CPU,attn=CUDA1")
    assert state.settings.override_tensor == ("ffn_up_exps=CPU", "attn=CUDA1")

    with qtbot.waitSignal(state.failed) as said:
        typed(form, "Tensors by hand", "(exps=CPU")

    assert said.args[0].startswith("llama.cpp cannot use the -ot pattern")
    assert state.settings.override_tensor == ("ffn_up_exps=CPU", "attn=CUDA1")


def test_drafting_is_chosen(qtbot, state) -> None:
    form = SettingsForm(state)
    form.pieces.all()
    qtbot.addWidget(form)
    box = next(b for b in form.findChildren(QComboBox) if b.accessibleName() == "Drafting")
    box.setCurrentIndex(box.findData("draft-simple"))
    box.activated.emit(box.currentIndex())
    typed(form, "Draft model", "Qwen/Qwen3-0.6B")
    assert (state.settings.spec_type, state.settings.model_draft) == (
        "draft-simple",
        "Qwen/Qwen3-0.6B",
    )


def test_a_models_own_projector_is_one_tick_where_it_is_known(qtbot, state) -> None:
    form = SettingsForm(state)
    form.pieces.all()
    qtbot.addWidget(form)
    box = next(b for b in form.findChildren(QCheckBox) if "projector" in b.accessibleName())
    line = next(b for b in form.findChildren(QLineEdit) if b.accessibleName() == "Projector")
    own = "Qwen/Qwen3-VL-8B-Instruct"
    state.choose_model(own, "Q4_K_M")
    assert box.isEnabled()
    assert not box.isChecked()

    box.setChecked(True)
    assert state.settings.mmproj == line.text() == own
    typed(form, "Projector", f"{own}:BF16")
    assert not box.isChecked()
    typed(form, "Projector", own)
    assert box.isChecked()
    box.setChecked(False)
    assert not state.settings.mmproj

    state.choose_model("Qwen/Qwen3-8B", "Q4_K_M")
    assert not box.isEnabled()
    assert "no projector" in box.toolTip()
    state.choose_model("/nowhere/model.gguf")
    assert not box.isEnabled()


def test_the_build_is_the_rigs_own_until_another_is_told(qtbot, state, big_rig) -> None:
    form = SettingsForm(state)
    form.pieces.all()
    qtbot.addWidget(form)
    line = next(b for b in form.findChildren(QLineEdit) if b.accessibleName() == "llama.cpp build")
    state.set_rig(None)
    state.set_detected(big_rig.model_copy(update={"llama_cpp": "b10549"}))
    assert line.text() == "2026-08 (b10549), as found"
    form.resize(652, 400)  # in a window of 1280
    form.show()
    assert line.fontMetrics().horizontalAdvance(line.text()) < line.width()
    assert state.settings.built == "b10549"
    assert not state.session.settings.built, "a session's file follows the machine it is opened on"

    typed(form, "llama.cpp build", "2025-09")
    assert state.settings.built == line.text() == "2025-09"
    state.set_engine("b11000")
    assert state.settings.built == "2025-09", "what was told stays"
    with qtbot.waitSignal(state.failed) as said:
        typed(form, "llama.cpp build", "the newest")
    assert "say a month (2026-08)" in said.args[0]
    assert line.text() == "2025-09"

    state.undo()
    assert line.text() == "2026-09 (b11000), as found"
    state.redo()
    assert line.text() == "2025-09"
    typed(form, "llama.cpp build", "any")
    assert state.settings.built == "any"
    typed(form, "llama.cpp build", "")
    assert state.settings.built == "b11000"


def test_another_build_of_this_machine_is_another_question(qtbot, state, big_rig) -> None:
    state.set_rig(None)
    state.set_detected(big_rig.model_copy(update={"llama_cpp": "b10549"}))
    with qtbot.waitSignal(state.rig_changed):
        state.set_engine("b7423")
    assert (state.rig.llama_cpp, state.settings.built) == ("b7423", "b7423")
    state.set_rig(big_rig.model_copy(update={"imagined": True}))
    with qtbot.assertNotEmitted(state.rig_changed, wait=50):
        state.set_engine("b6500")
    assert state.settings.built == embedded_version(), "an imagined rig runs what is current"
