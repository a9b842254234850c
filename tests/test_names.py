import pytest

from semrsm.errors import SemrsmError
from semrsm.names import look_up


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
