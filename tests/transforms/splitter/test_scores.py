"""How well the development sets are split, where they are beside the clone."""

import importlib.util
import pathlib
import types

import pytest

from transforms import SentenceSplitter

SETS = pathlib.Path(__file__).resolve().parents[4] / "shared" / "sbd"

pytestmark = pytest.mark.skipif(not SETS.is_dir(), reason="the development sets are not beside the clone")

LEAST_F1 = {
    "en_ewt_dev": 0.950,
    "de_gsd_dev": 0.986,
    "fr_gsd_dev": 0.986,
    "es_gsd_dev": 0.992,
    "ru_gsd_dev": 0.988,
    "pt_bosque_dev": 0.933,
    "nl_lassysmall_dev": 0.910,
    "zh_gsd_dev": 0.996,
    "cs_cac_dev": 0.996,
    "it_isdt_dev": 0.956,
    "ja_gsd_dev": 0.995,
    "pl_pdb_dev": 0.993,
    "ro_rrt_dev": 0.987,
    "en_legal_dev": 0.950,
    "es_legal_dev": 0.863,
    "fr_legal_dev": 0.964,
    "it_legal_dev": 0.915,
    "pt_legal_dev": 0.924,
}


@pytest.fixture(scope="module")
def score() -> types.ModuleType:
    """The sets' own scorer."""
    spec = importlib.util.spec_from_file_location("score", SETS / "score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", LEAST_F1)
def test_f1(score: types.ModuleType, name: str) -> None:
    """The F1 of a set does not fall."""
    _, _, f1 = score.evaluate(SentenceSplitter(name[:2]).spans, score.load(name), [])
    assert f1 >= LEAST_F1[name]


def test_golden_rules(score: types.ModuleType) -> None:
    """All English golden rules."""
    _, failed = score.golden(SentenceSplitter().spans)
    assert not failed
