"""Whatever is printed: no value, in none of its usual encodings."""

from __future__ import annotations

import base64
import shlex
from urllib.parse import quote

from hypothesis import assume, given
from hypothesis import strategies as st

from mainstay.secrets import Secret, mask, remember
from tests.unit.secret_stores import QUICK, values

# -- round trip ------------------------------------------------------------------------------------------------------


@QUICK
@given(value=values, before=st.text(max_size=20), after=st.text(max_size=20))
def test_any_text_is_masked(value: str, before: str, after: str) -> None:
    label = "<secret NAME@1>"
    assume(value not in label and not any(part in label for part in value.splitlines()))
    assume(value not in before + label + after)
    for form in (value, base64.b64encode(value.encode()).decode(), quote(value, safe=""), shlex.quote(value)):
        shown = mask(f"{before}{form}{after}", {value: label})
        assert form not in shown
        assert label in shown


@QUICK
@given(
    value=values, user=st.text(st.characters(codec="ascii", categories=["L"]), max_size=9), end=st.binary(max_size=4)
)
def test_a_value_inside_longer_base64_is_masked(value: str, user: str, end: bytes) -> None:
    assume(len(value.encode()) >= 9)
    header = base64.b64encode(f"{user}:{value}".encode() + end).decode()
    shown = mask(f"Authorization: Basic {header}", {value: "***"})
    assert "***" in shown
    # All that stays is what the neighbours' bits are mixed into: at most a character on each side.
    left = shown.removeprefix("Authorization: Basic ").replace("***", "")
    assert len(left) <= len(header) - (len(value.encode()) * 8 // 6 - 1)


def test_overlapping_values_leave_no_fragment() -> None:
    shown = mask("x abcdXYefgh y", {"abcdXY": "<secret A@1>", "XYefgh": "<secret B@1>"})
    assert shown == "x <secret A@1> y"


def test_lines_of_a_key_are_masked_one_by_one() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\n-----END KEY-----"
    assert "MIIEvQIBADANBgkqhkiG9w0" not in mask("+    MIIEvQIBADANBgkqhkiG9w0", {key: "<secret TLS_KEY@1>"})


def test_a_placeholder_stays_although_a_value_looks_like_a_part_of_it() -> None:
    assert mask("<secret TOKEN@3> secret", {"secret": "<secret A@1>"}) == "<secret TOKEN@3> <secret A@1>"


def test_masking_without_values_uses_what_this_process_revealed() -> None:
    assert mask("only-here-5c1f") == "only-here-5c1f"
    Secret("LATE", 4, lambda: "only-here-5c1f").reveal()
    assert mask("x only-here-5c1f") == "x <secret LATE@4>"
    remember("no", "<secret SHORT@1>")
    assert mask("no") == "no"


@QUICK
@given(text=st.text(max_size=80))
def test_text_without_values_is_unchanged(text: str) -> None:
    assert mask(text, {}) == text
    assume("zq-value-zq" not in text)
    assert mask(text, {"zq-value-zq": "***"}) == text
