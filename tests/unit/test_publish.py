"""A site in an object store: what a record of it may hold, and the order in which its files turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deploys.components.frontend import bucket as buckets
from deploys.components.frontend import site


@given(st.text())
def test_whatever_a_record_holds_is_read(text: str) -> None:
    assert buckets.parse_live(text) == buckets.Live()
    assert buckets.parse_release(text) == buckets.Release()


@given(st.lists(st.from_regex(r"(assets/)?[a-z]{1,8}\.[a-z]{2,5}", fullmatch=True)))
def test_an_index_comes_last_and_assets_first(paths: list[str]) -> None:
    found = sorted([*paths, "index.html"], key=site.turn)
    assert found[-1] == "index.html"
    kinds = [path.startswith("assets/") for path in found]
    assert kinds == sorted(kinds, reverse=True)
    assert all((site.headers_of(path)["CacheControl"] == site.FOR_EVER) == path.startswith("assets/") for path in paths)
