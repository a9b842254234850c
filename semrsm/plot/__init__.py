"""Pictures of RSMs and of tables of values: pure functions that return a matplotlib figure.

Nothing goes through pyplot, matplotlib is imported only when something is drawn, and the same input
gives the same bytes.
"""

from semrsm.plot.figures.canvas import save_figure
from semrsm.plot.figures.comparison import draw_comparison
from semrsm.plot.figures.curves import draw_curves
from semrsm.plot.figures.dendrogram import draw_dendrogram
from semrsm.plot.figures.embedding import draw_embedding
from semrsm.plot.figures.heatmaps import Panel, draw_heatmaps
from semrsm.plot.figures.retrieved import Retrieved, draw_retrieved
from semrsm.plot.figures.side_by_side import draw_side_by_side, order_by_views

__all__ = [
    "Panel",
    "Retrieved",
    "draw_comparison",
    "draw_curves",
    "draw_dendrogram",
    "draw_embedding",
    "draw_heatmaps",
    "draw_retrieved",
    "draw_side_by_side",
    "order_by_views",
    "save_figure",
]
