import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.plot.figures.short_names import shorten_all, shorten_ids

LAYERS = st.builds(
    lambda i, part, tail: f"model.encoder.layers.{i}.{part}{'.dense' * tail}",
    st.integers(0, 40),
    st.sampled_from(["attention.output", "mlp", "output", ""]),
    st.integers(0, 4),
)


@given(st.lists(st.text("ab.…~1", max_size=20) | LAYERS | st.text(max_size=40)), st.integers(8, 30))
def test_different_names_stay_different_and_fit(names, letters):
    short = shorten_all(names, letters)
    assert len(short) == len(names)
    assert all(len(name) <= letters for name in short)
    for name, cut in zip(names, short, strict=True):
        assert cut == name or len(name) > letters
    assert len(set(short)) == len(set(names))
    assert len(set(zip(names, short, strict=True))) == len(set(names))


@pytest.mark.parametrize("letters", [12, 20, 28])
def test_the_numbers_of_layers_are_kept(letters):
    names = [f"vit.encoder.layer.{i}.attention.output.dense" for i in range(24)]
    for i, name in enumerate(shorten_all(names, letters)):
        assert f"{i}." in name or f"{i}…" in name


def test_names_of_one_long_word_keep_what_differs():
    names = ["a" * 30 + letter + "c" * 30 for letter in "bd"]
    assert shorten_all(names, 12) == ["…abcccccccc…", "…adcccccccc…"]


IDS = st.builds(
    lambda shape, colour, number: f"{shape}/{colour}_{number:02d}.png",
    st.sampled_from(["circle", "square", "triangle"]),
    st.sampled_from(["blue", "yellow"]),
    st.integers(0, 12),
)


@given(st.lists(IDS | st.text(max_size=30), max_size=12), st.integers(8, 30))
def test_different_ids_stay_different_and_fit(ids, letters):
    short, _ = shorten_ids(ids, letters)
    assert all(len(name) <= letters for name in short)
    assert len(set(short)) == len(set(ids)) == len(set(zip(ids, short, strict=True)))


@given(st.lists(IDS, min_size=2, max_size=12, unique=True), st.integers(14, 22))
def test_ids_keep_their_ends_where_they_differ(ids, letters):
    short, left_out = shorten_ids(ids, letters)
    assert not any(name.endswith("…") for name in short)
    if any(len(name) > letters for name in ids):
        assert left_out.endswith(".png")
        assert not any(".png" in name for name in short)
    else:
        assert (short, left_out) == (ids, "")


def test_ids_are_cut_at_one_place():
    ids = [f"{shape}/yellow_{n:02d}.png" for shape in ("triangle", "pentagon") for n in (2, 10)]
    short, left_out = shorten_ids(ids, 12)
    assert short == ["trian…low_02", "trian…low_10", "penta…low_02", "penta…low_10"]
    assert left_out == "*.png"
