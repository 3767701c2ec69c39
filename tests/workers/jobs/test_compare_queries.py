"""What recent queries find in two generations, and how often it is what was clicked on."""

from workers.jobs.compare_queries import compared


def test_lists_are_compared_query_by_query() -> None:
    live = {"1": ["a", "b"], "2": ["c", "d"], "3": [], "only live": ["a"]}
    other = {"1": ["a", "x"], "2": ["d", "c"], "3": [], "only new": ["a"]}
    found = compared(live, other, {"1": {"b"}, "2": {"d"}, "gone": {"a"}})
    assert (found.queries, found.overlap, found.clicked) == (2, 0.75, 2)
    assert (found.live_hit_1, found.live_hit_10) == (0.0, 1.0)
    assert (found.candidate_hit_1, found.candidate_hit_10) == (0.5, 0.5)


def test_without_queries_or_clicks_nothing_is_said() -> None:
    found = compared({}, {}, {})
    assert (found.queries, found.overlap, found.live_hit_1) == (0, None, None)
    found = compared({"1": ["a"]}, {"1": ["a"]}, {})
    assert (found.overlap, found.clicked, found.candidate_hit_10) == (1.0, 0, None)
