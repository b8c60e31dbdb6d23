"""Small widgets that every page is made of.

This package's ``__init__`` imports nothing: the shell shows itself before pyqtgraph is loaded.
basics      text, Card, Chip, Banner, BigNumber, EmptyState, rows and columns
figures     BasisMark, FigureRow (opens to its Explanation), figure texts
patterns    the pattern of each tone and of each part of memory
stacked_bar StackedBar and its legend swatches
heat_map    HeatMap: rows × columns of told cells, keyboard and screen reader included
progress    Progress: how far something is
range_curve RangeCurve over pyqtgraph: a small curve within its range
sparkline   Sparkline: a small live line without axes
"""
