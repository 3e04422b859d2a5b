"""The shipped grammars: real plates of each region, and texts that cannot be from there."""

from importlib.resources import files
from pathlib import Path

import pytest

from plate_ocr.adapters.grammars import load_grammars
from plate_ocr.domain.compiled_grammars import compile_grammars
from plate_ocr.domain.grammar import GENERIC, GrammarError

GRAMMARS = load_grammars()
KNOWN = compile_grammars(GRAMMARS)

# Region: plates of it, code and number in reading order | texts that are not.
EXAMPLES = {
    "ae-az": "149539 1049539 501 74666 1191711 2012345 49539 | B10053 2312345 4912345 AB12 1012345678",
    "ae-du": "D71026 O24 AA7 I60558 88123 BB12345 71026 | AB123 D123456 D012 ABC12",
    "ae-sj": "112345 212345 399 41 12345 123451 | A12345 0123 D71026",
    "ae-aj": "A12345 B1 K999 H77777 | 112345 AA123 A123456",
    "ae-uq": "A1 B12345 X99 I7777 | 112345 AA1 B012",
    "ae-rk": "A12345 V1 Y77 Z123 | 112345 RK12 C123456",
    "ae-fu": "B10053 C25748 M1 10053B | 110053 BB1 B100530",
    "sa": "1234ABD 1KSA 7653TNJ ABD1234 | 1234ABC 1234OAB 12345ABD 1234AB",
    "qa": "123 12345 999999 77 | 1234567 A12345 012345",
    "kw": "712345 1812345 11 2099999 | A12345 12345678 0123",
    "bh": "123 123456 654321 9 | 1234567 A12345 012345",
    "om": "1234AB 1A 99999YY 12TT 5C | AB1234 123456BB 1234ABC 0123A",
    "in": "MH12DE1433 DL1CAB1234 KA011234 22BH1234AA TN07CQ4321 | XX12DE1433 MH12IO1433 MH1234567 BH221234A",
    "br": "JOG9221 BRA2E19 AYO9034 ABC1D23 | JO9221 JOG922 BRAE219 J0G9221",
    "generic": "ABC123 1234 A1B2C3D4E ABCDE | 123 ABCDEFGHIJ 1234567890",
    "at": "W12345A GU123AB S9XY WIEN1 | 123ABC ABC W1234567",
    "be": "1ABC234 2XYZ999 ABC123 123ABC | 0ABC123 AB123 12ABC34",
    "bg": "CA1234AB B1234XX CB9999MT E1234A | CA123AB DA1234AB CA12345",
    "ch": "ZH123456 GE1 SG47471 VD99999 ZH1234U | ZZ1234 ZH0123 ZH1234567",
    "cy": "ABC123 KAA001 EL123 | ABC1234 AB12 123ABC",
    "cz": "1B80338 2T40211 4B39376 1AB2345 BSE5579 BZM2227 MARTIN01 | 1G80338 AB12345 1B8033 1BOB338",
    "de": "BAB123 MXX1 HHAB1234 KAB99H GEA7E STAB123 | B0123 123ABC ABCDEF1 HHAB12345",
    "dk": "AB12345 XY99999 CD10101 | AO12345 ABC1234 AB1234",
    "ee": "123ABC 999XYZ 001AAA | ABC123 1234ABC 12ABC",
    "es": "1234BCD 0000DVM 9999ZZZ M1234AB SE1234X | 1234ABC 1234BQD 123BCD XX1234A",
    "fi": "ABC123 ABC1 AB12 XYZ999 | ABC012 123ABC ABC1234",
    "fr": "AB123CD XY999ZZ 1234AB75 123ABC2A 12XY974 | AO123CD AI123CD AB12CD AB1234C",
    "gr": "ABE1234 YZX9999 IKA5555 AHX123 | ABC1234 ABE0123 AB1234",
    "hr": "ZG1234AB ST123A RI9999ZZ | ZG12AB Z1234AB ZG1234ABC ZG123XY",
    "hu": "ABC123 AAAA001 XYZ999 AABC123 | AB1234 123ABC ABC1234",
    "ie": "12D12345 131D1 99C999 152KK4321 ZV12345 ZZ12345 | 12X123 D12345 12D0123",
    "it": "AB123CD ZZ999ZZ EX000AA MI1A2345 ROA12345 DH12345 | AI123CD AB12CD AQ123CD 123ABCD",
    "lt": "ABC123 XYZ999 EV1234 | AB123 ABC1234 123ABC",
    "lu": "AB1234 1234 12345 AA0001 AB123 | ABC123 AB12 01234",
    "lv": "AB1234 HR1 KK99 AA777 | ABC123 AB0123 A1234",
    "mt": "ABC123 XYZ999 GVO001 | ABC12 123ABC AB1234",
    "nl": "12BDF3 1BDF23 BD123F X123BD 12BDFG GBGB12 BDF12G V01BBB | 12AEI3 BDFG BDFGHJ 123456",
    "no": "AB12345 EL99999 DN54321 SV1234 | AB01234 AI12345 ABC1234",
    "pl": "WA12345 KR1A234 WPI1A23 BIA4X56 PO5JH67 WGM8998C XD12345 VW1A234 K6ONA8 D8JA3 G1A2 | QA12345 WAB12 12345WA",
    "pt": "AA12BB 12AB34 1234AB AB1234 | ABC123 12ABC AA123BB",
    "ro": "AB12CDE B123XYZ CJ99ABC B12XYZ TM123456 | XX12ABC AB123CDE AB12CQE",
    "se": "ABC123 XYZ99K MLB001 | ABI123 AB123 ABC1234",
    "si": "LJ123AB MB12345 CEAB123 KP9A9A9 LJ12XYW LJ1234 KPTINA18 | XX123AB LJ12 LJABCDE",
    "sk": "RK755AJ BA268IM BB751BH LM298AI | RKO99AN RK755A 755RKAJ",
    "uk": "AB12CDE A123BCD ABC123D ABC1 1ABC AZ1234 KIL123 | AB12CDQ IB12CDE AB123CDE QZ12345",
    "us": "CH0P8Y 7ABK123 NEILDMND GOCUBS 12 | A ABCDEFGHI 123456789",
    "us-al": "1A12345 1AB12C3 47A12B3 | AB12345 1I12345 70A1234 47AB",
    "us-ak": "ABC123 GKE456 HXX001 | 123ABC ABC1234",
    "us-az": "ABC1234 CKA9999 A1B2CD XY53ZZ ABC1DEF 12A3B4C | 123ABC AB12345 ABCDEF",
    "us-ar": "ABC12D 123ABC 999ZZZ | ABC1234 12ABC3",
    "us-ca": "7ABK123 6TRJ244 8A12345 5LTA600 12345A6 | ABC1234 77ABK12",
    "us-co": "ABCD12 123ABC ABC123 | ABC1234 12ABCD",
    "us-ct": "AB12345 123ABC BE99999 1ABCD2 | ABC1234 A123456",
    "us-de": "123456 1234 999999 | 012345 A12345 1234567",
    "us-dc": "AB1234 FK9999 GG0001 | ABC123 A12345",
    "us-fl": "ABCD12 A123BC 1234AB 123ABC A12BCD | ABC1234 A12BCDE",
    "us-ga": "ABC1234 RXX9999 1234ABC | ABC123 AB12345",
    "us-hi": "ABC123 RAA001 ZZZ999 | 123ABC ABC1234",
    "us-id": "K123456 1A12345 1AUX123 10B1234 2T12345 10BA123 | ABC123 0A12345 A123456 3A12345 1K12345",
    "us-il": "AB12345 A123456 1049338 123456 | ABC1234 0123456",
    "us-in": "123A 123AB 123ABC 1234ABC | ABC123 12ABC",
    "us-ia": "ABC123 KLM999 123ABC | ABC1234 AB1234",
    "us-ks": "1234ABC 123ABC 0001AAA | ABC1234 12ABC",
    "us-ky": "A1B234 123ABC Z9Y876 | ABC1234 A12B34",
    "us-la": "123ABC ABC123 999ZZZ | ABC1234 AB1234",
    "us-me": "1234AB 123AB 123ABC | AB1234 ABC123",
    "us-md": "1AB2345 9ZZ9999 ABC123 | AB12345 1ABC234",
    "us-ma": "1ABC23 123AB4 12AB34 1234AB 1AB234 | AB1234 ABC123",
    "us-mi": "ABC1234 1ABC23 EKD9999 | AB12345 123ABC",
    "us-mn": "123ABC ABC123 999XYZ | ABC1234 AB1234",
    "us-ms": "ABC123 ABC1234 HPA999 | 123ABC AB12345",
    "us-mo": "CH0P8Y DG3C8P ML0C2S 123ABC | CHOP8Y ABC1234",
    "us-mt": "112345 1123456 5612345A ABC123 | 012345 ABC1234",
    "us-ne": "ABC123 1A123 93AB1234 59E21 | 0A123 ABC1234",
    "us-nv": "12A345 123ABC ABC123 | ABC1234 1A2345",
    "us-nh": "1234567 123456 9999999 | 0123456 ABC123",
    "us-nj": "A12BCD ABC12D Z99ZZZ | ABC1234 A123BC",
    "us-nm": "ABCD12 123ABC ABC123 | ABC1234 12ABCD",
    "us-ny": "ABC1234 EAZ6913 FAB999 | 123ABC AB12345",
    "us-nc": "ABC1234 AKS4329 ZZZ0001 | ABC123 123ABC",
    "us-nd": "123ABC ABC123 001AAA | ABC1234 AB1234",
    "us-oh": "ABC1234 CWW2245 AB12CD | ABC123 123ABC",
    "us-ok": "ABC123 123ABC JKL999 | ABC1234 AB1234",
    "us-or": "123ABC ABC123 999ZZZ | ABC1234 AB1234",
    "us-pa": "ABC1234 JPX0001 ZZZ9999 | ABC123 123ABC",
    "us-ri": "123456 12345 AB123 1AB234 | 012345 ABC123",
    "us-sc": "ABC123 123ABC JZZ999 1234AB | ABC1234 AB1234",
    "us-sd": "1AB234 12A345 44AB12 1ABC23 44ABC1 12AB34 | ABC123 0AB123",
    "us-tn": "ABC1234 A1234B 123ABC | ABC123 AB12345",
    "us-tx": "ABC1234 DH7X317 CN2X798 ABC123 | AB12345 1ABC234",
    "us-ut": "A123BC 123ABC Z999ZZ | ABC1234 AB1234",
    "us-vt": "ABC123 HJK999 AAA001 | 123ABC ABC1234",
    "us-va": "ABC1234 UZZ9999 ABC123 | 123ABC AB12345",
    "us-wa": "ABC1234 123ABC BXX9999 | ABC123 AB12345",
    "us-wv": "1AB234 OAB123 NAB234 D12345 | AB1234 PAB123",
    "us-wi": "ABC1234 123ABC AAA0001 | ABC123 AB12345",
    "us-wy": "1123 1012345 23999 11234A | 012345 ABC123",
}  # fmt: skip


@pytest.mark.parametrize("region", sorted(g.region for g in GRAMMARS))
def test_plates_of_a_region(region: str) -> None:
    yes, no = (part.split() for part in EXAMPLES[region].split("|"))
    assert len(yes) >= 3
    assert len(no) >= 2
    regions = {text: {name for name, _ in KNOWN.patterns_of(text)} for text in (*yes, *no)}
    assert [text for text in yes if region not in regions[text]] == []
    assert [text for text in no if region in regions[text]] == []


def test_every_region_the_service_names_has_a_grammar() -> None:
    wanted = {
        "at", "be", "bg", "cy", "cz", "de", "dk", "ee", "es", "fi", "fr", "gr", "hr", "hu", "ie", "it", "lt", "lu",
        "lv", "mt", "nl", "pl", "pt", "ro", "se", "si", "sk", "uk", "ch", "no", "br", "in", "sa", "qa", "kw", "bh",
        "om", "us", GENERIC,
    }  # fmt: skip
    wanted |= {f"ae-{emirate}" for emirate in ("az", "du", "sj", "aj", "uq", "rk", "fu")}
    assert wanted <= set(EXAMPLES) == {g.region for g in GRAMMARS}
    assert sum(region.startswith("us-") for region in EXAMPLES) == 51  # with the District of Columbia


def test_the_grammar_files_are_in_the_package() -> None:
    names = {f.name for f in files("plate_ocr").joinpath("grammars").iterdir()}
    assert names >= {"ae.toml", "gcc.toml", "eu.toml", "us.toml", "br.toml", "in.toml", "generic.toml"}


def test_generic_patterns_have_little_weight() -> None:
    weights = {g.region: max(p.weight for p in g.patterns) for g in GRAMMARS}
    assert weights.pop(GENERIC) <= 0.001
    assert min(weights.values()) >= 0.1


def write(folder: Path, name: str, region: str, text: str) -> None:
    pattern = f'{{ name = "own", weight = 1, text = "{text}" }}'
    folder.joinpath(name).write_text(f"[regions.{region}]\npatterns = [{pattern}]\n")


def test_an_operators_grammar_is_added_or_replaces_the_shipped_one(tmp_path: Path) -> None:
    write(tmp_path, "own.toml", "xx", "ZZd{2}")
    write(tmp_path, "sweden.toml", "se", "SEd")
    (tmp_path / "notes.txt").write_text("no grammar")
    loaded = load_grammars(tmp_path)
    known = compile_grammars(loaded, ["xx", "se"])
    assert ("xx", "own") in known.patterns_of("ZZ12")
    assert {region for region, _ in known.patterns_of("ABC123")} == {GENERIC}
    assert [g.region for g in loaded] == sorted({*(g.region for g in GRAMMARS), "xx"})


def test_an_operators_errors_name_the_file(tmp_path: Path) -> None:
    write(tmp_path, "own.toml", "xx", "ZZ(d")
    with pytest.raises(GrammarError, match=r"own\.toml: regions\.xx\.patterns\[0\]\.text: .*never closed"):
        load_grammars(tmp_path)
    write(tmp_path, "own.toml", "xx", "ZZd")
    write(tmp_path, "second.toml", "xx", "ZZd")
    with pytest.raises(GrammarError, match=r"second\.toml: regions\.xx: .*own\.toml"):
        load_grammars(tmp_path)
    (tmp_path / "second.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(GrammarError, match=r"second\.toml: "):
        load_grammars(tmp_path)
    with pytest.raises(GrammarError, match="there is no such folder"):
        load_grammars(tmp_path / "missing")
