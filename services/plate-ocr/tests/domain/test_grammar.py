"""The grammar files: what expressions match, what is refused, and the compiled arrays."""

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plate_ocr.domain.alphabet import ALPHABET
from plate_ocr.domain.compiled_grammars import CompiledGrammars, compile_grammars
from plate_ocr.domain.grammar import (
    CodePlace,
    Expansion,
    GrammarError,
    RegionGrammar,
    Shape,
    bits,
    parse_expression,
    parse_grammars,
)


def texts(expansions: tuple[Expansion, ...]) -> set[str]:
    members = {c: [a for i, a in enumerate(ALPHABET) if c >> i & 1] or ["-"] for e in expansions for c in e}
    return {"".join(choice) for e in expansions for choice in product(*(members[c] for c in e))}


def grammar(text: str) -> tuple[RegionGrammar, ...]:
    return parse_grammars(text, "x.toml")


def one(region: str, *patterns: str, extra: str = "") -> RegionGrammar:
    """Patterns as in a file, without the name."""
    listed = ", ".join(f'{{ name = "{i}", {p} }}' for i, p in enumerate(patterns))
    return grammar(f"[regions.{region}]\n{extra}\npatterns = [{listed}]")[0]


def compiled(*grammars: RegionGrammar) -> CompiledGrammars:
    return compile_grammars(grammars)


@pytest.mark.parametrize(
    ("expression", "meaning"),
    [
        ("A1", {"A1"}),
        ("[A-C7]", {"A", "B", "C", "7"}),
        ("A?B", {"AB", "B"}),
        ("A{2}", {"AA"}),
        ("A{1,3}", {"A", "AA", "AAA"}),
        ("(A|BC)1", {"A1", "BC1"}),
        ("(A|B(C|D)?)", {"A", "B", "BC", "BD"}),
        ("1|[4-5]", {"1", "4", "5"}),
        ("(AB|CD){2}", {"ABAB", "ABCD", "CDAB", "CDCD"}),
        ("A-B", {"A-B"}),
        ("d", set("0123456789")),
        ("l", {"X", "Y"}),
        ("x", {*"0123456789", "X", "Y"}),
    ],
)
def test_expressions(expression: str, meaning: set[str]) -> None:
    assert texts(parse_expression(expression, bits("XY"))) == meaning


pieces = st.recursive(
    st.sampled_from(["A", "B", "7", "[A-C]", "[07]"]),
    lambda inner: st.one_of(
        st.builds("({}|{})".format, inner, inner),
        st.builds("{}{}".format, inner, inner),
        st.builds("({})?".format, inner),
        st.builds("({}){{1,2}}".format, inner),
    ),
    max_leaves=6,
)


@given(pieces)
def test_expressions_match_what_re_matches(expression: str) -> None:
    found = texts(parse_expression(expression))
    pattern = re.compile(expression)
    assert all(pattern.fullmatch(text) for text in found)
    assert {t for t in ("", "A", "7", "AB", "A7", "BA", "AAB", "AB7", "C0") if pattern.fullmatch(t)} <= found


def test_alternatives_that_differ_in_one_position_are_merged() -> None:
    assert len(parse_expression("AG|AI|AR|ZH")) == 2
    assert len(parse_expression("[124-9]|1d|2[0-2]|50")) == 4


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("(A", "never closed"), ("[A", "never closed"), ("A)", "closes nothing"), ("[]", "empty"),
        ("[Z-A]", "backwards"), ("[a]", "neither a capital"), ("A{3,1}", "no range"), ("A{99}", "no range"),
        ("é", "is unknown"), ("A B", "is unknown"), ("?", "is unknown"),
        ("(A|BB){1,9}(C|DD){1,9}(E|FF){1,9}", "more than"),
    ],
)  # fmt: skip
def test_expressions_that_are_refused(expression: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_expression(expression)


@pytest.mark.parametrize(
    ("text", "field", "reason"),
    [
        ("x = 1", "x", "unknown"),
        ("[regions", "", "Expected"),
        ("regions = 1", "regions", "table"),
        ("[regions.Germany]\npatterns = []", "regions.Germany", "named like"),
        ("[regions.de]", "regions.de.patterns", "at least one"),
        ("[regions.de]\npatterns = [1]", "regions.de.patterns[0]", "table"),
        ("[regions.de]\nshare = 0\npatterns = [{}]", "regions.de.share", "above 0"),
        ("[regions.de]\nletters = 'A1'\npatterns = [{}]", "regions.de.letters", "letters only"),
        ("[regions.de]\nletters = 'a'\npatterns = [{}]", "regions.de.letters", "neither a capital"),
        ("[regions.de]\npatterns = [{}]", "regions.de.patterns[0].name", "text is needed"),
        ("[regions.de]\npatterns = [{name='a'}]", "regions.de.patterns[0].weight", "above 0"),
        ("[regions.de]\npatterns = [{name='a', weight=2}]", "regions.de.patterns[0].weight", "at most 1"),
        ("[regions.de]\npatterns = [{name='a', weight=true}]", "regions.de.patterns[0].weight", "number"),
        ("[regions.de]\npatterns = [{name='a', weight=1, wait=1}]", "regions.de.patterns[0].wait", "unknown"),
        ("[regions.de]\npatterns = [{name='a', weight=1}]", "regions.de.patterns[0]", "either"),
        ("[regions.de]\npatterns = [{name='a', weight=1, code='A'}]", "regions.de.patterns[0]", "either"),
        (
            "[regions.de]\npatterns = [{name='a', weight=1, text='A('}]",
            "regions.de.patterns[0].text",
            "never closed",
        ),
        (
            "[regions.de]\npatterns = [{name='a', weight=1, text='d{12}d'}]",
            "regions.de.patterns[0]",
            "1 to 12",
        ),
        ("[regions.de]\npatterns = [{name='a', weight=1, text='A?'}]", "regions.de.patterns[0]", "1 to 12"),
        (
            "[regions.de]\npatterns = [{name='a', weight=1, text='A', order='number code'}]",
            "regions.de.patterns[0].order",
            "order",
        ),
        (
            "[regions.de]\npatterns = [{name='a', weight=1, code='A', number='d', order='up'}]",
            "regions.de.patterns[0].order",
            "number/code",
        ),
        (
            "[regions.de]\npatterns = [{name='a', weight=1, code='A?', number='d'}]",
            "regions.de.patterns[0]",
            "have characters",
        ),
        (
            "[regions.de]\npatterns = [{name='a', weight=1, text='A', needs_digit=1}]",
            "regions.de.patterns[0].needs_digit",
            "true or false",
        ),
        (
            "[regions.de]\npatterns = [{name='a', weight=1, text='A'}, {name='a', weight=1, text='B'}]",
            "regions.de.patterns[1].name",
            "twice",
        ),
    ],
)
def test_errors_name_file_and_field(text: str, field: str, reason: str) -> None:
    with pytest.raises(GrammarError, match=re.escape(reason)) as caught:
        grammar(text)
    assert (caught.value.file, caught.value.field) == ("x.toml", field)
    assert str(caught.value).startswith("x.toml: ")


def test_code_and_number() -> None:
    (first,) = one("ae-du", 'weight = 1, code = "A", number = "7{2}"').patterns[0].shapes
    assert first == Shape((bits("A"), bits("7"), bits("7")), (1,), CodePlace.FIRST, 1)
    (below,) = (
        one("ae-fu", 'weight = 1, code = "A", number = "7{2}", order = "number/code"').patterns[0].shapes
    )
    assert below == Shape((bits("7"), bits("7"), bits("A")), (2,), CodePlace.BELOW, 1)


def test_gaps_at_the_ends_and_repeated_gaps_are_ignored() -> None:
    (shape,) = one("sa", 'weight = 1, text = "-1--AB-"').patterns[0].shapes
    assert (len(shape.classes), shape.gaps) == (3, (1,))


def test_a_pattern_that_needs_a_digit_excludes_words() -> None:
    known = compiled(one("generic", 'weight = 1, text = "x{2,3}", needs_digit = true'))
    assert [bool(known.patterns_of(t)) for t in ("A1", "1A", "11", "AA1", "AA", "AAA")] == [True] * 4 + [
        False
    ] * 2
    shapes = one("generic", 'weight = 1, text = "x{3}", needs_digit = true').patterns[0].shapes
    assert len(shapes) == 3  # disjoint, so that no text is counted twice


def test_patterns_of_a_text() -> None:
    known = compiled(
        one("br", 'weight = 1, text = "llldddd"', 'weight = 1, text = "llldldd"'),
        one("us-tx", 'weight = 0.5, text = "llldddd"'),
    )
    assert known.patterns_of("ABC1234") == (("br", "0"), ("us-tx", "0"))
    assert known.patterns_of("ABC1D23") == (("br", "1"),)
    assert known.patterns_of("ABC123") == known.patterns_of("abc1234") == known.patterns_of("") == ()
    assert known.tables[7].classes.shape == (2, 7)  # shapes that two regions share are stored once


PART = 'weight = 1, text = "d"'
SEVERAL = (
    one("ae-du", PART, extra="share = 3"),
    one("ae-az", PART, extra="share = 1"),
    one("us", PART),
    one("us-tx", PART),
    one("de", PART),
    one("generic", PART),
)


@pytest.mark.parametrize(
    ("allowed", "regions"),
    [
        (None, {"ae-du", "ae-az", "us", "us-tx", "de", "generic"}),
        (["ae"], {"ae-du", "ae-az", "generic"}),
        (["ae-du", "de"], {"ae-du", "de", "generic"}),
        (["us-tx"], {"us", "us-tx", "generic"}),
        ([], {"generic"}),
    ],
)
def test_allowed_regions(allowed: list[str] | None, regions: set[str]) -> None:
    assert set(compile_grammars(SEVERAL, allowed).regions) == regions


def test_an_allowed_region_without_a_grammar() -> None:
    with pytest.raises(ValueError, match="no grammar for mars"):
        compile_grammars(SEVERAL, ["ae", "mars"])


@pytest.mark.parametrize(
    ("prior", "expected"),
    [
        ({}, {"ae-du": 0.25, "ae-az": 0.083, "us": 0.167, "us-tx": 0.167, "de": 0.333}),
        ({"de": 1.0}, {"ae-du": 0.005, "us": 0.003, "de": 0.987}),
        ({"ae": 0.8, "": 0.2}, {"ae-du": 0.593, "ae-az": 0.198, "de": 0.105}),
        ({"ae-du": 0.9, "us": 0.1}, {"ae-du": 0.887, "ae-az": 0.002, "us": 0.052, "us-tx": 0.052}),
        ({"us-tx": 0.6}, {"us": 0.297, "us-tx": 0.591}),
    ],
)
def test_region_priors(prior: dict[str, float], expected: dict[str, float]) -> None:
    known = compile_grammars(SEVERAL)
    found = dict(zip(known.regions, known.region_priors(prior).by_share.tolist(), strict=True))
    assert found["generic"] == 1
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=0.002)


def test_no_part_of_a_country_is_named_for_being_large() -> None:
    known = compile_grammars(SEVERAL)
    found = dict(zip(known.regions, known.region_priors({"ae": 1.0}).even.tolist(), strict=True))
    assert found["ae-du"] == found["ae-az"]
