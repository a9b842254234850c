"""Pictures of RSMs and of tables of measures."""

from semrsm.plot.canvas import save_figure
from semrsm.plot.side_by_side import draw_side_by_side, order_by_views

__all__ = ["draw_side_by_side", "order_by_views", "save_figure"]
