from raysim.corpus.text_spans import TextSpan, apart, replaced


def test_of_spans_that_overlap_the_first_and_longest_stays() -> None:
    one, longer, inner, behind = (TextSpan(*place, "k") for place in ((2, 4), (2, 6), (5, 9), (6, 7)))
    assert apart([behind, inner, one, longer]) == [longer, behind]
    assert (longer.overlaps(inner), longer.overlaps(behind), behind.overlaps(inner)) == (True, False, True)


def test_replaced() -> None:
    assert replaced(
        "0123456789", [(TextSpan(1, 3, "a"), "<A>"), (TextSpan(3, 4, "b"), ""), (TextSpan(9, 10, "c"), "!")]
    ) == ("0<A>45678!")
    assert replaced("as it is", []) == "as it is"
