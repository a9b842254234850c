"""What the RSMs of a picture are called."""

from pathlib import Path

import numpy as np
import pytest

from semrsm.plot.request import PlotInputs, PlotOptions, names_of
from semrsm.rsms import Rsm, rsm_in_memory


def rsm(file, layer, matcher="optimal"):
    values = np.eye(3)
    return Rsm(
        Path(f"out/{file}.rsm.h5"), layer, matcher, "cosine", (3, 3), True, None,
        values.__getitem__,
    )  # fmt: skip


def test_layers_of_two_networks_name_their_files():
    names = names_of([rsm("resnet", "layer1"), rsm("vit", "blocks.0")])
    assert names.common == "semantic (optimal), cosine kernel"
    assert names.titles == ["resnet: layer1", "vit: blocks.0"]


def test_one_layer_of_several_files_names_them():
    names = names_of([rsm("seed1", "layer1"), rsm("seed2", "layer1")])
    assert names.titles == ["seed1: layer1", "seed2: layer1"]


def test_matchers_tell_files_of_the_same_layers_apart():
    files = (("base", "identity"), ("dump", "optimal"))
    names = names_of([rsm(file, f"l{i}", by) for file, by in files for i in (1, 2)])
    assert names.common == "cosine kernel"
    assert names.titles[0] == "l1\nspatio-semantic (identity)"
    assert not any("base" in title or "dump" in title for title in names.titles)


def test_networks_in_the_names_of_layers_name_them_once():
    names = names_of([rsm("a", "resnet/layer1"), rsm("b", "vit/block1")])
    assert names.titles == ["resnet/layer1", "vit/block1"]


def test_other_matchers_and_other_networks_name_both():
    names = names_of([rsm("resnet", "layer1", "identity"), rsm("vit", "blocks.0")])
    assert names.titles[1] == "vit: blocks.0\nsemantic (optimal)"


def test_a_single_matrix_in_memory_needs_no_name():
    assert names_of([rsm_in_memory(np.eye(3), "RSM 1")]).titles == [""]
    two = [rsm_in_memory(np.eye(3), f"RSM {i}") for i in (1, 2)]
    assert names_of(two).titles == ["RSM 1", "RSM 2"]


@pytest.mark.parametrize(
    ("rsms", "groups"),
    [
        ([rsm("a", "l1"), rsm("a", "l2"), rsm("b", "l1")], 2),
        ([rsm("a", "vit/l1"), rsm("a", "vit/l2"), rsm("a", "resnet/l1")], 2),
        ([rsm("a", "l1"), rsm("a", "l2")], 1),
    ],
)
def test_panels_of_one_file_and_network_are_a_group(rsms, groups):
    panels = PlotInputs(PlotOptions(), rsms).panels
    assert len({panel.group for panel in panels}) == groups
