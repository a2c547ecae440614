import dataclasses
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.splitter import LANGUAGE_CODES, UNDETERMINED, SentenceSplitter

TEXTS = {
    "ar": "وصل الوزير إلى العاصمة أمس. وكان في استقباله عدد من المسؤولين.",
    "cs": "Do Prahy přijel včera večer. Potkal se tam s přáteli.",
    "de": "Er kam am 3. Oktober an. Danach ging er wieder nach Hause.",
    "en": "He arrived on Monday. Nobody was waiting for him at the station.",
    "es": "Llegó el lunes por la mañana. Nadie lo esperaba en la estación.",
    "fr": "Il est arrivé lundi matin. Personne ne l'attendait à la gare.",
    "hi": "वह सोमवार को आया। स्टेशन पर कोई उसका इंतज़ार नहीं कर रहा था।",
    "it": "È arrivato lunedì mattina. Nessuno lo aspettava alla stazione.",
    "ja": "彼は月曜日に着きました。駅では誰も待っていませんでした。",
    "nl": "Hij kwam maandagochtend aan. Niemand stond op hem te wachten.",
    "pl": "Przyjechał w poniedziałek rano. Nikt na niego nie czekał.",
    "pt": "Ele chegou na segunda-feira. Ninguém o esperava na estação.",
    "ro": "A ajuns luni dimineața. Nimeni nu îl aștepta la gară.",
    "ru": "Он приехал в понедельник утром. Никто его не ждал.",
    "zh": "他星期一早上到了。车站里没有人在等他。",
}


@pytest.mark.parametrize("language", LANGUAGE_CODES)
def test_each_language_of_the_splitter_is_detected(language: str) -> None:
    """From two short sentences, which are split as if the language had been named."""
    splitter, text = SentenceSplitter("auto"), TEXTS[language]
    assert splitter.language_of(text) == language
    assert splitter.spans(text) == SentenceSplitter(language).spans(text)
    assert len(splitter.spans(text)) == 2


def test_a_language_that_is_named_is_not_detected() -> None:
    """The splitter's own is what a text is split by."""
    assert SentenceSplitter("pt-BR").language_of(TEXTS["de"]) == "pt-BR"


@pytest.mark.parametrize(
    "text",
    ["", " ", "OK", "12345", "😀", "\ud800", "\0", "https://example.org/x?y=1", "Merhaba dünya, bugün çok güzel."],
)
def test_a_text_that_tells_no_language_is_split_by_generic_rules(text: str) -> None:
    """What is too short, no text, or in another language than the splitter's."""
    assert SentenceSplitter("auto").language_of(text) == UNDETERMINED
    assert SentenceSplitter("auto").spans(text) == SentenceSplitter(UNDETERMINED).spans(text)


@given(st.text())
def test_any_text_has_a_language_or_none(text: str) -> None:
    """There are no other values, so that they can be counted by name."""
    assert SentenceSplitter("auto").language_of(text) in (*LANGUAGE_CODES, UNDETERMINED)


@pytest.mark.parametrize("heading", [TEXTS["de"] * 4, "MULLER, J. 2004-11-17 (01) 555 " * 10, " " * 400, ""])
def test_a_heading_does_not_tell_the_language(heading: str) -> None:
    """A letterhead in another language or in none; what a text is mostly in is its language."""
    assert SentenceSplitter("auto").language_of(heading + TEXTS["fr"] * 20) == "fr"


def test_a_detecting_splitter_is_a_value_like_any_other() -> None:
    """It can be hashed, pickled and copied with a language."""
    splitter = SentenceSplitter("auto", min_length=3)
    assert pickle.loads(pickle.dumps(splitter)) == splitter
    assert dataclasses.replace(splitter, language="de") == SentenceSplitter("de", min_length=3)
    assert len({splitter, SentenceSplitter("auto", min_length=3)}) == 1
