"""One sentence for a wrong name."""

from mint_rl.errors import UserError, unknown_name


def test_unknown_name_lists_the_known_and_suggests_the_nearest() -> None:
    error = unknown_name("task", "movetocornr", ["MoveToCorner", "MakeLine"])
    assert isinstance(error, UserError)
    assert (
        str(error)
        == "unknown task 'movetocornr' (did you mean 'MoveToCorner'?); known: MoveToCorner, MakeLine"
    )


def test_unknown_name_without_a_near_one_does_not_guess() -> None:
    assert "did you mean" not in str(unknown_name("task", "xyz", ["MoveToCorner"]))
