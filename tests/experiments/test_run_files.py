"""Run files of experiments: what is wrong with one is said in one sentence."""

from pathlib import Path

import pytest

from semrsm.data import digits_path
from semrsm.errors import SemrsmError
from semrsm.experiments.run import EXPERIMENTS, read_experiment, run_file_of
from tests.conftest import ROOT

CONFIGS = {path.stem: path for path in run_file_of("retrieval").parent.glob("*.toml")}


def test_every_experiment_has_a_run_file_and_the_docs_speak_of_it() -> None:
    assert set(CONFIGS) == set(EXPERIMENTS)
    page = (ROOT / "docs" / "reproduce.md").read_text()
    for name in CONFIGS:
        assert f"\n## {name.replace('_', ' ').capitalize()}\n" in page


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_run_files_ask_for_what_the_paper_compares(name: str) -> None:
    experiment, run_file = read_experiment(CONFIGS[name])
    assert experiment.name == name
    assert run_file.activations == str(digits_path())
    assert set(run_file.networks) == {"resnet", "vit"}
    assert run_file.networks["vit"].skip_tokens == 1
    assert run_file.matchers == ("identity", "optimal")
    assert set(run_file.kernels) == {"linear", "cosine", "rbf"}


@pytest.mark.parametrize(
    ("name", "before", "after", "wanted"),
    [
        ("retrieval", 'experiment = "retrieval"', 'experiment = "retreival"', "'retrieval'?"),
        ("retrieval", 'experiment = "retrieval"', "", "no experiment '(none)'"),
        ("retrieval", "ks = ", "k = ", "no key 'k': did you mean 'ks'?"),
        ("retrieval", "ks = [1, 3, 5]", "", "the key 'ks' is missing"),
        ("retrieval", "ks = [1, 3, 5]", "ks = 3", "ks must be a list"),
        ("retrieval", "ks = [1, 3, 5]", "ks = [0]", "ks must be at least 1"),
        ("retrieval", '"optimal"', '"optimum"', "no matcher 'optimum': did you mean 'optimal'?"),
        ("retrieval", ', "optimal"', "", "at least two"),
        ("retrieval", '"cosine"', '"cosin"', "did you mean 'cosine'?"),
        ("retrieval", "layers", "layer", "[networks.resnet] 'layer': did you mean 'layers'?"),
        ("retrieval", "skip_tokens = 1", "skip_tokens = -1", "skip_tokens must be at least 0"),
        ("retrieval", '\nlabels = "labels"', "\nlabels = 1", "labels must be a name"),
        ("retrieval", 'views = "views"', "views = 1", "views must be a name"),
        ("predictions", "vit = ", "vti = ", "no network in [logits] 'vit': did you mean 'vti'?"),
        ("predictions", "bootstrap = 500", "bootstrap = -1", "bootstrap must be at least 0"),
        ("translation_sensitivity", 'views = "views"', "", "the key 'views' is missing"),
        ("translation_sensitivity", "experiment =", "experiment", "is no TOML"),
    ],
)
def test_a_wrong_run_file_is_answered_with_one_sentence_that_names_it(
    name: str, before: str, after: str, wanted: str, tmp_path: Path
) -> None:
    text = CONFIGS[name].read_text()
    assert before in text
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(SemrsmError) as caught:
        read_experiment(path)
    assert str(path) in str(caught.value)
    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value).removesuffix("\n")


def test_a_run_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SemrsmError, match=r"gone\.toml cannot be read"):
        read_experiment(tmp_path / "gone.toml")
