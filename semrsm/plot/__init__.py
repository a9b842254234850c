"""Pictures of RSMs and of tables of values: pure functions that return a matplotlib figure.

Nothing goes through pyplot, matplotlib is imported only when something is drawn, and the same input
gives the same bytes.
"""

from semrsm.plot.canvas import save_figure
from semrsm.plot.curves import draw_comparison, draw_curves
from semrsm.plot.embedding import draw_dendrogram, draw_embedding
from semrsm.plot.matrices import Panel, draw_heatmaps
from semrsm.plot.retrieval import Retrieved, draw_retrieved
from semrsm.plot.side_by_side import draw_side_by_side, order_by_views

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
