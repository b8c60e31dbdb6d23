"""The settings form: what is typed becomes settings, and what cannot be is said and undone."""

from PySide6.QtWidgets import QCheckBox, QComboBox, QLineEdit

from advisor.ui.pages.fit_settings import SettingsForm


def typed(form: SettingsForm, name: str, words: str) -> QLineEdit:
    line = next(line for line in form.findChildren(QLineEdit) if line.accessibleName() == name)
    line.setText(words)
    line.setModified(True)
    line.editingFinished.emit()
    return line


def test_patterns_are_split_and_bad_ones_said(qtbot, state) -> None:
    form = SettingsForm(state)
    qtbot.addWidget(form)
    typed(form, "Tensors by hand", "ffn_up_exps=CPU,attn=CUDA1")
    assert state.settings.override_tensor == ("ffn_up_exps=CPU", "attn=CUDA1")

    with qtbot.waitSignal(state.failed) as said:
        typed(form, "Tensors by hand", "(exps=CPU")

    assert said.args[0].startswith("llama.cpp cannot use the -ot pattern")
    assert state.settings.override_tensor == ("ffn_up_exps=CPU", "attn=CUDA1")


def test_drafting_is_chosen(qtbot, state) -> None:
    form = SettingsForm(state)
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
