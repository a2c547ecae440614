"""The patterns that the boundary rules match; each is bounded or a run of one class, so none of them can be slow."""

# ruff: noqa: RUF001, RUF003 (the characters are meant)

from __future__ import annotations

import functools
import re
from typing import Final

from transforms.splitter.items import BULLETS

_WIDE_MARKS: Final = "。．！？｡।॥۔։።᙮"
_MARKS: Final = ".!?…‥؟" + _WIDE_MARKS
_CLOSERS: Final = "\"'”’»›)\\]}*_`」』）】〉》"
# In German and Danish these are closing quotes; they are taken as such if white space follows.
_TURNED_CLOSERS: Final = "“‘«‹"
_OPENERS: Final = "\"'“‘«‹([{¿¡„‚*_`-–—「『（【〈《"

WIDE: Final = frozenset(_WIDE_MARKS)
QUOTES: Final = frozenset("\"'”’“‘»›«‹」』`")
BRACKETS: Final = frozenset(")]}）】")
WORD_LEAD: Final = "\"'“‘«([{*_„¿¡"
QUOTE_OPENERS: Final = frozenset('"“«„')
SMILEY_LEAD: Final = frozenset(":;=8xX<^")
SYMBOLS: Final = frozenset(":;—\ufe0f" + BULLETS).union(
    map(chr, range(0x2600, 0x27C0)), map(chr, range(0x1F000, 0x1FB00))
)
LOUD: Final = frozenset("?!؟")

# A run of terminators and the closing characters after it (including spaced dots and HTML entities of quotes), then
# white space. The run may also begin at a bullet, an emoji, the eyes of a smiley or a dash.
SCAN: Final = re.compile(
    rf"[:;—{_MARKS}{BULLETS}\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]"
    rf"[{_MARKS}{_CLOSERS}¹²³⁴-⁹⁰]*(?:[{_TURNED_CLOSERS}](?=\s|\Z))?(?:[ \xa0]\.(?!\w)[.…{_CLOSERS}]*)*"
    r"(?:&(?:quot|apos|rsquo|rdquo|raquo|#0?39|#34|#x27);)*(\s*)"
)
NEXT_WORD: Final = re.compile(rf"[{re.escape(_OPENERS)}]{{0,8}}([^\W\d_]{{1,32}}(?:['’][^\W\d_]{{1,8}})?)(\.?)")
# "[3]", "[a]" or "[1, 2–4]" after a period, and a bare footnote number after a period.
NOTE: Final = re.compile(r"(?:\[(?:\d{1,3}|[a-z])(?:\s?[,–-]\s?\d{1,3}){0,8}\]){1,8}(\s*)")
FOOTNOTE: Final = re.compile(r"\d{1,3}(\s+)(?=[A-Z\"“])")
DETACHED_CLOSER: Final = re.compile(r"[)\]}»”](?=\s|\Z)\s*")
# "83" is a number, not eyes and a mouth.
SMILEYS: Final = re.compile(
    r"(?:(?:(?!83+\b)[:;=8xX][-'^o]?[)(\]\[DPpOo3/\\|*]{1,9}|<3{1,9}|\^_{0,9}\^"
    r"|[\u2600-\u27bf\U0001f000-\U0001faff][\ufe0f\u200d\u2600-\u27bf\U0001f000-\U0001faff]{0,40})"
    r"(?=\s|\Z)\s*){1,20}"
)
FACE: Final = re.compile(r"[:;=]'?[-^o]?[)(DPp]{1,9}\Z")
AFTER_BULLET: Final = re.compile(r"\s|\w")
CAPITAL: Final = re.compile(r"[\"'“‘(]?[^\W\d_a-zà-öø-ÿа-я]")
LOWER_SPEAKER: Final = re.compile(r"[^。！？，]{0,6}[说說道问問喊叫答]")
# Signs that the sentence continues: a closing quote before punctuation, or a dash before a lower-case word.
GOES_ON: Final = re.compile(r"[\"'`”’»]{1,3}\s?[.,;!?]|[-–—]{1,3}\s?[^\W\d_A-ZÀ-ÖØ-ÞА-Я]")
QUOTED_LOWER: Final = re.compile(r"[\"'“‘«(]{1,3}[a-zà-öø-ÿа-я]")
LABEL: Final = re.compile(r"[A-Z](?![\w'’])")
ROMAN: Final = re.compile(r"[IVXLCDM]{1,9}\b(?![’'])")
GLUED_WORD: Final = re.compile(r"([^\W\d_]{1,32})(?![@/\w]|\.\w)")
# "At 5 a.m" at the beginning of a sentence, and its first word.
CLOCK: Final = re.compile(r"\W?([^\W\d_]{1,12}) (?:[^\W\d_]{1,12} )?\d{1,2}(?:[:.]\d\d)? ?[AaPp]\.?[Mm]\Z")
# A word of a citation, and what stands before and behind a period within one: "410 U.S. | 113" has a volume and a page,
# "(Haw. | 1990)" a year that closes the bracket. A page that a word follows ("20 Germans. 15 spoke") is a number.
_CITED: Final = r"(?:\(?(?:[A-Z][\w'’.()-]{0,17}|&|of|\d{1,2}(?:d|th|st|nd|rd)\.?),? )"
CITATION_HEAD: Final = re.compile(
    r"(?:\A|[\s(\[])\d{1,4}(?:-\d{1,3})? (?=[A-Z]\w{0,9}['’.]|[A-Z]{1,5}\b)" rf"{_CITED}{{0,7}}\(?[A-Z]\S{{0,20}}\Z"
)
CITATION_TAIL: Final = re.compile(
    rf"{_CITED}{{0,6}}(?:(?:at |§{{1,2}} ?|\*)\d|(?P<year>\d{{4}})\)"
    r"|\d{1,6}(?:[-–]\d{1,6})?(?:[;)\]]|[.,:](?!\d)|\s*[(\[]|\s*\Z))"
)
# Japanese particles that continue the sentence after the closing bracket of a quotation.
PARTICLE: Final = re.compile(r"[とはがをにのもでへや、](?!ころ|ても|にかく|もかく|りわけ|はいえ)")
# A polite Japanese verb or a particle, and the decoration that ends a sentence behind one.
POLITE_END: Final = re.compile(r"(?:です|ます|した|せん|しょう|[よねー])\Z")
DECORATION: Final = re.compile(r"[☆★♪♡♥❤\ufe0f]+")
SPACE: Final = re.compile(r"\s*")
# Inner periods identify an abbreviation that is in no table: "U.S", "Ph.D".
DOTTED: Final = re.compile(r"(?:[^\W\d_]{1,2}\.){1,8}[^\W\d_]{1,3}")


@functools.cache
def speaker(verbs: frozenset[str]) -> re.Pattern[str] | None:
    """A pattern for the speaker of a quotation: up to three words, and then one of the verbs."""
    if not verbs:
        return None
    return re.compile(rf"(?:[^\W\d_][\w.'’-]{{0,30}}\s{{1,3}}){{1,3}}?(?:{'|'.join(sorted(verbs))})\b")
