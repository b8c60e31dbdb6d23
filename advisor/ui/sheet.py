"""The windows' style sheet. ``@name`` stands for a colour of the scheme, ``design`` puts it in."""

from typing import Final

SHEET: Final = """
QToolTip { color: @text; background: @surface; border: 1px solid @line_strong; padding: 2px 4px; }
QLabel[role="muted"] { color: @muted; }
QLabel[role="explained"] { border-bottom: 1px dotted @line_strong; }
QLabel[role="small"] { color: @muted; font-size: 11px; }
QLabel[role="strong"] { font-weight: 600; }
QLabel[role="title"] { font-size: 14px; font-weight: 600; }
QLabel[role="headline"] { font-size: 20px; font-weight: 700; }
QLabel[role="number"] { font-size: 32px; font-weight: 700; }
QLabel[tone="good"] { color: @good; }
QLabel[tone="tight"] { color: @tight; }
QLabel[tone="offload"] { color: @offload; }
QLabel[tone="bad"] { color: @bad; }
QLabel[tone="none"] { color: @muted; }
QLabel[role="good"] { color: @good; }
QLabel[role="tight"] { color: @tight; }
QLabel[role="bad"] { color: @bad; }
QLabel[role="brand"] { font-size: 14px; font-weight: 700; }
QToolButton:disabled QLabel { color: @muted; }

QFrame[role="card"] { background: @surface; border: 1px solid @line; border-radius: 10px; }
QFrame[role="well"] { background: @sunken; border: none; border-radius: 6px; }
QFrame[role="rule"] { background: @line; border: none; }
QWidget[role="rail"] { background: @surface; border-right: 1px solid @line; }
QWidget[role="header"] { background: @surface; border-bottom: 1px solid @line; }
QWidget[role="status"] { background: @surface; border-top: 1px solid @line; }
QWidget[role="popup"] { background: @surface; border: 1px solid @line_strong; }

QPushButton, QToolButton[role="picker"] {
  background: @surface; color: @accent; border: 1px solid @line_strong; border-radius: 7px;
  padding: 5px 13px; font-weight: 600; min-height: 20px;
}
QPushButton:hover, QToolButton[role="picker"]:hover { background: @accent_soft; }
QPushButton:focus, QToolButton[role="picker"]:focus {
  border: 2px solid @accent; padding: 4px 12px;
}
QPushButton:disabled { color: @muted; border-color: @line; background: @surface; }
QPushButton[role="primary"] { background: @accent; color: @on_accent; border-color: @accent; }
QPushButton[role="primary"]:hover { background: @accent_hover; }
QPushButton[role="primary"]:focus { border: 2px solid @text; }
QPushButton[role="primary"]:disabled { background: @sunken; color: @muted; border-color: @line; }
QPushButton[role="danger"] { background: @bad; color: @on_accent; border-color: @bad; }
QPushButton[role="danger"]:focus { border: 2px solid @text; }
QPushButton[role="danger"]:disabled { background: @sunken; color: @muted; border-color: @line; }
QPushButton[role="link"] {
  background: transparent; border: 1px solid transparent; border-radius: 4px; padding: 1px 3px;
  font-weight: 500; text-align: left; min-height: 16px;
}
QPushButton[role="link"]:hover { text-decoration: underline; }
QPushButton[role="link"]:focus { border: 1px solid @accent; padding: 1px 3px; }
QPushButton[role="segment"] {
  border-radius: 6px; padding: 2px 7px; min-height: 18px; font-weight: 500; color: @muted;
  border: 1px solid transparent; background: transparent;
}
QPushButton[role="segment"]:hover { color: @text; }
QPushButton[role="segment"]:checked { color: @accent; background: @accent_soft; font-weight: 600; }
QPushButton[role="segment"]:focus { border: 1px solid @accent; padding: 2px 7px; }
QPushButton[role="nav"] {
  background: transparent; border: 1px solid transparent; border-radius: 8px; color: @muted;
  font-weight: 500; text-align: left; padding: 7px 10px; min-height: 21px;
}
QPushButton[role="nav"]:hover { background: @ground; color: @text; }
QPushButton[role="nav"]:checked { background: @accent_soft; color: @accent; font-weight: 600; }
QPushButton[role="nav"]:focus { border: 1px solid @accent; padding: 7px 10px; }
QToolButton[role="picker"] { color: @text; text-align: left; padding: 5px 26px 5px 12px; }
QToolButton[role="picker"]:focus { padding: 4px 25px 4px 11px; }
QToolButton[role="picker"]::menu-indicator { image: none; }
QPushButton::menu-indicator {
  image: url(@chevron); subcontrol-origin: padding; subcontrol-position: center right; right: 7px;
}

QLineEdit, QSpinBox, QDoubleSpinBox, QComboBox {
  background: @surface; color: @text; border: 1px solid @line_strong; border-radius: 7px;
  padding: 4px 9px; min-height: 20px; selection-background-color: @accent;
  selection-color: @on_accent;
}
QLineEdit:focus, QSpinBox:focus, QDoubleSpinBox:focus, QComboBox:focus {
  border: 2px solid @accent; padding: 3px 8px;
}
QLineEdit:disabled, QSpinBox:disabled, QDoubleSpinBox:disabled, QComboBox:disabled {
  color: @muted; background: @ground; border-color: @line;
}
QAbstractSpinBox QLineEdit, QComboBox QLineEdit {
  border: none; padding: 0; min-height: 0; background: transparent;
}
QComboBox { combobox-popup: 0; }
QComboBox::drop-down { border: none; width: 24px; }
QComboBox::down-arrow { image: url(@chevron); width: 10px; height: 10px; }
QComboBox QAbstractItemView {
  background: @surface; color: @text; border: 1px solid @line_strong; outline: none;
  selection-background-color: @accent_soft; selection-color: @text; padding: 3px;
}
QSpinBox::up-button, QSpinBox::down-button, QDoubleSpinBox::up-button, QDoubleSpinBox::down-button {
  width: 0; border: none;
}
QCheckBox, QRadioButton { background: transparent; spacing: 7px; }
QCheckBox::indicator {
  width: 15px; height: 15px; border: 1px solid @line_strong; border-radius: 4px;
  background: @surface;
}
QCheckBox::indicator:checked { background: @ticked; border-color: @ticked; image: url(@tick); }
QCheckBox::indicator:focus { border: 2px solid @accent; }
QCheckBox:focus { color: @accent; }

QPlainTextEdit, QTextEdit {
  background: @ground; color: @text; border: 1px solid @line; border-radius: 7px; padding: 5px;
  selection-background-color: @accent; selection-color: @on_accent;
}
QPlainTextEdit:focus, QTextEdit:focus { border: 1px solid @accent; }
QMenu { background: @surface; color: @text; border: 1px solid @line_strong; padding: 5px; }
QMenu::item { padding: 6px 26px 6px 12px; border-radius: 5px; }
QMenu::item:selected { background: @accent_soft; color: @text; }
QMenu::item:disabled { color: @muted; }
QMenu::separator { height: 1px; background: @line; margin: 5px 8px; }

QAbstractItemView { background: @surface; border: none; outline: none; }
QTableView, QTreeView, QListView {
  background: @surface; color: @text; border: none; outline: none; gridline-color: @line;
  selection-background-color: @accent_soft; selection-color: @text;
}
QListView::item { border-radius: 6px; }
QListWidget::item { padding: 3px 6px; }
QListView::item:selected { background: @accent_soft; color: @text; }
QTableView { border: 1px solid transparent; border-radius: 5px; }
QTableView:focus { border: 1px solid @accent; }
QTableView::item { padding: 0 8px; border: none; }
QTableView::item:selected { background: @accent_soft; color: @text; }
QHeaderView { background: @surface; border: none; }
QHeaderView::section {
  background: @surface; color: @muted; border: none; border-bottom: 1px solid @line;
  padding: 5px 10px; font-size: 11px; font-weight: 500;
}
QHeaderView[role="heat"]::section { padding: 5px 7px 5px 0; }
QTableCornerButton::section { background: @surface; border: none; }
QScrollArea { background: transparent; border: none; }
QScrollArea[role="preview"] { border: 1px solid transparent; }
QScrollArea[role="preview"]:focus { border: 1px solid @accent; }
QScrollBar:vertical { background: transparent; width: 10px; margin: 0; }
QScrollBar:horizontal { background: transparent; height: 10px; margin: 0; }
QScrollBar::handle { background: @line_strong; border-radius: 4px; margin: 1px; min-height: 28px;
  min-width: 28px; }
QScrollBar::handle:hover { background: @muted; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QDialogButtonBox { dialogbuttonbox-buttons-have-icons: 0; }
QProgressBar {
  background: @sunken; border: none; border-radius: 3px; max-height: 6px; color: transparent;
}
QProgressBar::chunk { background: @accent; border-radius: 3px; }
QSplitter::handle { background: transparent; }
"""
