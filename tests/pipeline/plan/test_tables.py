"""The tables of rates, prices and quotas."""

import datetime

import pytest

from pipeline.plan.tables import MEASURED, PRICES, QUOTAS, SEEN, Figure, Measured, markdown, measured
from tests.conftest import ROOT
from transforms.encoder.catalogue import CATALOGUE, DEFAULT_MODEL


def test_the_page_shows_the_tables() -> None:
    """As `python -m pipeline.plan.tables` prints them."""
    assert markdown() in (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("figure", [*PRICES.values(), *QUOTAS.values()])
def test_a_figure_has_an_address(figure: Figure) -> None:
    """And says so if it is second-hand."""
    source = figure.source
    assert source.startswith("https://")
    assert "quotes it" not in source or source.endswith("to be checked")


def test_every_quota_says_what_to_do() -> None:
    """Once it is met."""
    assert all(quota.remedy for quota in QUOTAS.values())


def test_dates_are_dates() -> None:
    """Of the day on which each was seen or written down."""
    for date in (SEEN, *(row.date for row in MEASURED)):
        datetime.date.fromisoformat(date)


@pytest.mark.parametrize("row", MEASURED)
def test_a_rate_is_of_models_that_exist(row: Measured) -> None:
    """And all that one pattern means have vectors of one length."""
    found = {model.dimension for model in CATALOGUE.values() if measured(model.name, row.precision) is row}
    assert found in ({384}, {768})


def test_models_of_another_shape_have_no_rate() -> None:
    """It is not to be guessed."""
    assert measured(DEFAULT_MODEL, "float32")
    others = ["bert_large_uncased", "small_bert_l6_768", "bert_multi_cased", "use_4"]
    assert [name for name in others if measured(name, "float32")] == []


@pytest.mark.parametrize("row", MEASURED)
def test_a_rate_stands_in_the_page_on_speed(row: Measured) -> None:
    """As what two CPUs did."""
    page = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    assert f"{row.precision} | {2 * row.sentences:.0f} |" in page
