"""No picture has texts that lie on each other or leave the page, at few samples and at many."""

import itertools
import warnings

import numpy as np
import pytest
from matplotlib.text import Text

from semrsm.plot.figures.canvas import new_figure, style
from semrsm.plot.figures.comparison import draw_comparison
from semrsm.plot.figures.curves import draw_curves
from semrsm.plot.figures.dendrogram import draw_dendrogram
from semrsm.plot.figures.embedding import draw_embedding
from semrsm.plot.figures.geometry import order_samples
from semrsm.plot.figures.heatmaps import Panel, draw_heatmaps
from semrsm.plot.figures.records import COMPARED, EVALUATED
from semrsm.plot.figures.retrieved import Retrieved, draw_retrieved
from semrsm.plot.figures.side_by_side import draw_side_by_side, order_by_views

SLACK = 1.0  # pixels at 100 dots per inch


def drawn_texts(figure) -> list[Text]:
    """Return the texts that are drawn: a figure holds others, such as ticks beyond the limits."""
    texts: list[Text] = []
    draw = Text.draw

    def noted(self, renderer, *more, **options):
        if self.get_visible() and self.get_text().strip():
            texts.append(self)
        return draw(self, renderer, *more, **options)

    with style():
        figure.draw_without_rendering()
        Text.draw = noted
        try:
            figure.draw_without_rendering()
        finally:
            Text.draw = draw
    return texts


def collisions(figure) -> list[str]:
    """Say which drawn texts overlap, and which leave the figure."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in drawn_texts(figure)]
    width, height = figure.bbox.width, figure.bbox.height
    found = [
        f"{name!r} leaves the figure"
        for name, b in boxes
        if b.x0 < -SLACK or b.y0 < -SLACK or b.x1 > width + SLACK or b.y1 > height + SLACK
    ]
    for (a, p), (b, q) in itertools.combinations(boxes, 2):
        across = min(p.x1, q.x1) - max(p.x0, q.x0)
        down = min(p.y1, q.y1) - max(p.y0, q.y0)
        if across > SLACK and down > SLACK:
            found.append(f"{a!r} lies on {b!r}")
    return found


def rsm(n, seed=3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(7, 12))[np.arange(n) % 7] + 0.5 * rng.normal(size=(n, 12))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x @ x.T


def hugging_face(count):
    parts = ["attention.attention.value", "attention.output.dense", "intermediate", "output.dense"]
    return [f"vit.encoder.layer.{i // 4}.{parts[i % 4]}" for i in range(count)]


def panels(n, count):
    return [
        Panel(rsm(n, i), f"{name}\nspatio-semantic (identity), cosine kernel", "cosine similarity")
        for i, name in enumerate(hugging_face(count))
    ]


def heatmaps(n, count, by, classes):
    labels = np.array([f"class {i % classes}" for i in range(n)]) if classes else None
    values = panels(n, count)
    names = [f"ILSVRC2012_val_{i:08d}.JPEG" for i in range(n)]
    order = order_samples(values[-1].values, by, labels)
    said = {"given": "", "label": "label", "cluster": f"clustering of {values[-1].title}"}[by]
    return draw_heatmaps(
        values, "a title", order=order, ordered_by=said, labels=labels, samples=names
    )


def comparison(a, b):
    keys = [(i, j) for i in hugging_face(a) for j in hugging_face(b)]
    rows = [("a.h5", i, "b.h5", j, "rbf", m, -0.12) for m in ("cka", "rsa-rho-a") for i, j in keys]
    return draw_comparison([dict(zip(COMPARED, row, strict=True)) for row in rows], "a title")


def networks(count, layers):
    items = [
        (f"network-{i}-of-many.identity.rsm.h5", x)
        for i in range(count)
        for x in hugging_face(layers)
    ]
    rows = [(a, i, b, j, "rbf", "cka", 0.5) for a, i in items for b, j in items]
    return draw_comparison([dict(zip(COMPARED, row, strict=True)) for row in rows], "a title")


def curves_of_networks(count, layers):
    rows = [
        (f"network-{j}-of-many", f"{j}{layer}", "optimal", "rbf", metric, i / 7 + j)
        for j in range(count)
        for i, layer in enumerate(hugging_face(layers))
        for metric in ("f1@1", "map")
    ]
    return draw_curves([dict(zip(EVALUATED, row, strict=True)) for row in rows], "a title")


def curves(layers, lines):
    rows = [
        (f"f{j}", layer, f"matcher{j}", "rbf", metric, i / 7 + j)
        for i, layer in enumerate(hugging_face(layers))
        for j in range(lines)
        for metric in ("f1@1", "map")
    ]
    return draw_curves([dict(zip(EVALUATED, row, strict=True)) for row in rows], "a title")


def side_by_side(n):
    views = np.arange(n) // 2
    order = order_by_views(views, views % 5)
    return draw_side_by_side(
        rsm(n),
        rsm(n, 4),
        "resnet/layer3, cosine kernel",
        views,
        order=order,
        ordered_by="view",
        labels=views % 5,
        samples=[f"ILSVRC2012_val_{i:08d}.JPEG" for i in range(n)],
    )


def embedding(n, count, classes):
    labels = np.arange(n) % classes
    return draw_embedding(panels(n, count), "a title", labels=labels, views=np.arange(n) // 2)


def retrieved(queries, k, samples=None):
    images = {i: np.full((8, 8), float(i)) for i in range(k + 1)}
    found = np.arange(1, k + 1)
    rows = [Retrieved("resnet/layer3\nspatio-semantic", 0, found, found / -7)] * queries
    labels = np.array([f"label {i}" for i in range(k + 1)])
    return draw_retrieved(rows, images, "a title", labels, samples)


FIGURES = {
    "one heat map, 20": lambda: heatmaps(20, 1, "given", 0),
    "one heat map by label, 20": lambda: heatmaps(20, 1, "label", 5),
    "one heat map by cluster, 20": lambda: heatmaps(20, 1, "cluster", 20),
    "one heat map by cluster, 2000": lambda: heatmaps(2000, 1, "cluster", 12),
    "many labels, 2000": lambda: heatmaps(2000, 1, "label", 300),
    "grid, 20": lambda: heatmaps(20, 4, "given", 0),
    "grid by cluster, 60": lambda: heatmaps(60, 6, "cluster", 10),
    "grid by label, 60": lambda: heatmaps(60, 3, "label", 10),
    "side by side, 20": lambda: side_by_side(20),
    "side by side, 2000": lambda: side_by_side(2000),
    "embedding, 20": lambda: embedding(20, 1, 20),
    "embedding, 2000": lambda: embedding(2000, 1, 12),
    "embeddings, 60": lambda: embedding(60, 6, 10),
    "dendrogram, 20": lambda: draw_dendrogram(panels(20, 2), "a title", labels=np.arange(20) % 3),
    "dendrogram, 2000": lambda: draw_dendrogram(panels(2000, 1), labels=np.arange(2000) % 12),
    "dendrogram, names": lambda: draw_dendrogram(panels(24, 1), samples=[f"im{i}.JPEG" for i in range(24)]),
    "grid, 49 of 20": lambda: heatmaps(20, 49, "label", 5),
    "grid, 13 of 80": lambda: heatmaps(80, 13, "cluster", 10),
    "grid, 4 of 2000": lambda: heatmaps(2000, 4, "given", 0),
    "side by side, 80": lambda: side_by_side(80),
    "embedding, 49 of 20": lambda: embedding(20, 49, 5),
    "dendrograms, 13 of 20": lambda: draw_dendrogram(panels(20, 13), labels=np.arange(20) % 3),
    "comparison, 49 x 49": lambda: comparison(49, 49),
    "curves, 49 x 10": lambda: curves(49, 10),
    "comparison, 7 x 4": lambda: comparison(7, 4),
    "comparison, 1 x 1": lambda: comparison(1, 1),
    "comparison, 30 x 50": lambda: comparison(30, 50),
    "comparison, 3 networks of 4": lambda: networks(3, 4),
    "comparison, 4 networks of 12": lambda: networks(4, 12),
    "comparison, 8 networks of 2": lambda: networks(8, 2),
    "curves, 3 networks of 4": lambda: curves_of_networks(3, 4),
    "curves, 5 networks of 2": lambda: curves_of_networks(5, 2),
    "curves, 3 x 2": lambda: curves(3, 2),
    "curves, 24 x 9": lambda: curves(24, 9),
    "retrieved, 1 x 1": lambda: retrieved(1, 1),
    "retrieved, 4 x 9": lambda: retrieved(4, 9),
    "retrieved, ids": lambda: retrieved(3, 9, [f"ILSVRC2012_val_{i:08d}_and_more.JPEG" for i in range(10)]),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_texts_are_readable_and_neither_overlap_nor_leave_the_page(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = FIGURES[name]()
        assert collisions(figure) == []
    assert min(text.get_fontsize() for text in drawn_texts(figure)) >= 7


def test_texts_that_overlap_or_leave_the_page_are_found():
    figure = new_figure(3, 2)
    for x, word in ((0.5, "one"), (0.52, "two"), (0.99, "outside")):
        figure.text(x, 0.5, word)
    assert collisions(figure) == ["'outside' leaves the figure", "'one' lies on 'two'"]
