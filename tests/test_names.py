import pytest

from semrsm.errors import SemrsmError
from semrsm.names import look_up, no_such


def test_a_known_name_is_found() -> None:
    assert look_up({"linear": 1}, "linear", "kernel") == 1


def test_an_unknown_name_is_answered_with_the_nearest_and_with_all() -> None:
    with pytest.raises(
        SemrsmError, match=r"no kernel 'cosin': did you mean 'cosine'\? .* linear, cosine"
    ):
        look_up({"linear": 1, "cosine": 2}, "cosin", "kernel")


def test_nothing_near_is_suggested_for_a_name_far_from_all() -> None:
    with pytest.raises(SemrsmError, match=r"no kernel 'zzz'\. There are: linear"):
        look_up({"linear": 1}, "zzz", "kernel")


def test_the_place_of_an_error_is_put_in_front() -> None:
    error = SemrsmError("sample 3 holds NaN").within("a.h5::x")
    assert str(error) == "a.h5::x: sample 3 holds NaN"
    assert str(error.within("a.h5::x")) == "a.h5::x: sample 3 holds NaN"


def test_a_glob_is_no_name() -> None:
    assert no_such(["conv1"], "layer*", "module") == (
        "no module matches 'layer*'. There are: conv1"
    )


def test_capital_letters_do_not_hide_what_is_near() -> None:
    for known in ("cka", "CKA", "Cka"):
        assert f"did you mean '{known}'?" in no_such([known, "rsa"], "cKA", "measure")


def test_of_many_names_the_nearest_are_listed() -> None:
    known = [f"resnet{n}" for n in range(100)] + [f"vit{n}" for n in range(100)]
    message = no_such(known, "resnt18", "model")
    assert "did you mean 'resnet18'?" in message
    assert "There are 200, such as: " in message
    assert message.count("resnet") == 9  # the nearest, and eight in the list
    assert "vit0" in no_such(sorted(known, reverse=True), "vvit0", "model")
    assert no_such(known, "zzzz", "model").endswith(f"such as: {', '.join(known[:8])}, …")
