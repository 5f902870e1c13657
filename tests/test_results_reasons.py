"""No number in the tables of a real bundle is empty without its reason, whatever failed in it."""

import csv
import io

import bundle_real
import pytest

LONG = ("floors", "verifier")
WIDE = ("curves", "gains")


@pytest.fixture(scope="module", params=[("tiny",), ("crema-d", "tiny")], ids="+".join)
def tables(request: pytest.FixtureRequest) -> dict[str, list[dict[str, str]]]:
    files = bundle_real.files(corpora=request.param)
    return {
        name: list(csv.DictReader(io.StringIO(files[f"tables/{name}.csv"].decode())))
        for name in (*LONG, *WIDE, "ambiguity")
    }


@pytest.mark.parametrize("name", LONG)
def test_a_row_per_number_has_bounds_or_a_reason(
    name: str, tables: dict[str, list[dict[str, str]]]
) -> None:
    assert tables[name]
    for row in tables[name]:
        assert (row["value"] and row["low"] and row["high"]) or row["reason"], row


@pytest.mark.parametrize("name", WIDE)
def test_a_row_of_several_numbers_names_those_without_bounds(
    name: str, tables: dict[str, list[dict[str, str]]]
) -> None:
    assert tables[name]
    for row in tables[name]:
        for low in (column for column in row if column.endswith("_low")):
            quantity = low.removesuffix("_low")
            if not (row[quantity] and row[low] and row[f"{quantity}_high"]):
                named = quantity in row["reason"] or ":" not in row["reason"].split("cluster")[0]
                assert row["reason"], row
                assert named, row


def test_a_verdict_has_a_reason_and_numbers_only_where_it_was_tested(
    tables: dict[str, list[dict[str, str]]],
) -> None:
    assert tables["ambiguity"]
    for row in tables["ambiguity"]:
        assert row["reason"]
        bare = not row["gain_against_greedy"]
        assert bare <= (row["verdict"] == "NOT TESTED")
