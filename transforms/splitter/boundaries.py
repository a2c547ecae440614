"""Decides where terminators end sentences: one scan finds the candidates, and a rule decides on each of them."""

# ruff: noqa: RUF001 (the characters are meant)

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from transforms.splitter import abbreviations, beside, patterns
from transforms.splitter.abbreviations import Kind
from transforms.splitter.items import BULLETS, ITEM_TEXT, LONGEST_ROMAN, OWN_MARKER
from transforms.splitter.languages import Language

# How many characters of a run of terminators a rule reads.
_RUN: Final = 64


class Boundaries:
    """Finds the sentences of a block by the rules of one language.

    The private rules have the same arguments. The sentence that began at `sentence` may end with the terminators
    text[at:space], and white space follows them up to `after`, where the next sentence may begin. The block ends at
    `end`. A rule returns the end of the sentence, or 0 if it does not end there.
    """

    def __init__(
        self,
        language: Language,
        *,
        use_abbreviations: bool = True,
        detect_lists: bool = True,
        extra: Iterable[str] = (),
    ) -> None:
        """Keeps the language and the splitter's options that affect the rules; `extra` are further abbreviations."""
        self._language = language
        self._kinds = abbreviations.table(language, extra) if use_abbreviations else {}
        self._use_abbreviations = use_abbreviations
        # Where nouns are capitalized or ordinals have periods, "12 Uhr. 5 Leute" would look like a citation.
        self._cites = use_abbreviations and not language.ordinals
        self._detect_lists = detect_lists
        self._words = beside.Words(language, self._kinds)

    def spans(self, text: str, begin: int, end: int) -> list[tuple[int, int]]:
        """The trimmed sentences of the block text[begin:end], which has no white space at its ends."""
        found: list[tuple[int, int]] = []
        sentence, counted, open_quote = begin, begin, False
        kinds, lower_starts, cites = self._kinds, self._language.lower_starts, self._cites
        for match in patterns.SCAN.finditer(text, begin, end):
            at = match.start()
            space, after = match.span(1)
            if after == end:
                break
            first, following = text[at], text[after]
            if first == "." and space - at == 1 and space < after:
                word = beside.before(text, sentence, at)
                # The most frequent case: an ordinary word before the period, and a letter after it.
                plain = len(word) > 3 and at - sentence > LONGEST_ROMAN and word.isalpha() and word.lower() not in kinds
                if plain and (following.isupper() or (lower_starts and following.islower())):
                    cut = space
                else:
                    cut = self._period(text, sentence, at, space, after, end, word)
                if cut and cites and not word.islower() and self._cited(text, sentence, space, after, end):
                    cut = 0
            elif first in patterns.SYMBOLS:
                cut, after = self._symbol(text, sentence, at, space, after, end)
            elif space == after:
                cut, after = self._glued(text, sentence, at, after, end)
            else:
                cut = self._run(text, sentence, at, space, after, end)
                if 0 < cut < space:
                    after = beside.skip_space(text, cut, end)
            if cut <= sentence:
                continue
            if not following.isalpha() and after < end:
                if following in "\"'" and (after + 1 == end or text[after + 1].isspace()):
                    # A detached quote is a closing one if the block has an odd number of quotes before it.
                    open_quote ^= text.count('"' if following == '"' else " ' ", counted, after) % 2 == 1
                    counted = after
                    if open_quote:
                        counted = cut = after + 1
                        open_quote = False
                        after = beside.skip_space(text, cut, end)
                cut, after = beside.trailing(text, cut, after, end)
                if after == end:
                    break
            found.append((sentence, cut))
            sentence = after
        found.append((sentence, end))
        return found

    def _cited(self, text: str, sentence: int, space: int, after: int, end: int) -> bool:
        """Whether the period text[space - 1] is within a citation."""
        tail = patterns.CITATION_TAIL.match(text, after, end)
        if tail is None or self._words.starts(text, after, end):
            return False
        head = text[beside.back(space, sentence) : space]
        if tail["year"] is not None and "(" not in tail[0] and head.rfind("(") > head.rfind(")"):
            return head.rsplit(None, 1)[-1].lstrip("(")[:1].isupper()
        return patterns.CITATION_HEAD.search(head) is not None

    def _symbol(self, text: str, sentence: int, at: int, space: int, after: int, end: int) -> tuple[int, int]:
        """A bullet, emoji, smiley, semicolon or dash: the end of the sentence, or 0, and the beginning of the next."""
        first = text[at]
        if first in BULLETS:
            if self._detect_lists and at > sentence and patterns.AFTER_BULLET.match(text, at + 1, end):
                return sentence + len(text[sentence:at].rstrip()), at
            return 0, after
        if first in ":;":
            face = text[at - 1 : at] in (" ", ".", "!", "?") and patterns.FACE.match(beside.chunk(text, at, end))
            if face:
                space, after = at + face.end(), beside.skip_space(text, at + face.end(), end)
                return (space if patterns.CAPITAL.match(text, after, end) else 0), after
            if first == ":" or not self._language.semicolons or space == after or space - at > 1:
                return 0, after
            return (space if self._words.starts(text, after, end) and text[after].isalpha() else 0), after
        if first == "—":
            broken_off = (
                space - at > 1 and text[space - 1] in patterns.QUOTES and not self._words.speaker(text, after, end)
            )
            return (space if broken_off and patterns.CAPITAL.match(text, after, end) else 0), after
        if space == after:
            polite = patterns.POLITE_END.search(text, max(sentence, at - 4), at)
            closing = patterns.DECORATION.match(text, at, end) if polite else None
            return (closing.end(), closing.end()) if closing else (0, after)
        return (space if patterns.CAPITAL.match(text, after, end) else 0), after

    def _period(self, text: str, sentence: int, at: int, space: int, after: int, end: int, word: str) -> int:
        """A single period before white space."""
        following = text[after]
        if following in ",;:&/%=" or (not following.isalnum() and patterns.GOES_ON.match(text, after, end)):
            return 0
        if not word:
            return 0 if following.islower() else space
        if (
            self._detect_lists
            and at - sentence <= 24
            and OWN_MARKER.match(text, sentence, at)
            and ITEM_TEXT.match(text, after, end)
        ):
            return 0
        word = word.lstrip(patterns.WORD_LEAD)
        kind = self._words.kind(text, sentence, at, word)
        if kind is None:
            return self._word(text, sentence, at, space, after, end, word)
        return self._abbreviation(text, sentence, at, space, after, end, word, kind)

    def _word(self, text: str, sentence: int, at: int, space: int, after: int, end: int, word: str) -> int:
        """A period after a word that is not in the table of abbreviations."""
        language = self._language
        following = text[after]
        if not word:
            return 0 if following.islower() else space
        if len(word) == 1 and word.isalpha():
            return self._letter(text, space, after, end, word)
        if word[-1].isdigit():
            if language.ordinals and word.isdigit() and len(word) <= 3:
                return 0 if self._ordinal(text, at, after, end, word) else space
            return space
        for mark in "-/—–'’":
            if mark in word:
                part = word.rpartition(mark)[2]
                kind = self._kinds.get(part.lower())
                if kind is None and self._use_abbreviations and patterns.DOTTED.fullmatch(part):
                    kind = Kind.CLOSING
                if kind is not None:
                    return self._abbreviation(text, sentence, at, space, after, end, part, kind)
        if "." in word and self._use_abbreviations and patterns.DOTTED.fullmatch(word):
            return self._abbreviation(text, sentence, at, space, after, end, word, Kind.CLOSING)
        if language.suffixes and word.lower().endswith(language.suffixes):
            return self._abbreviation(text, sentence, at, space, after, end, word, Kind.NUMBERED)
        if not following.islower():
            return space
        if language.ordinals and patterns.ROMAN.fullmatch(word):
            return 0
        if not language.lower_starts:
            return 0
        short = len(word) <= 3 and word.isalpha() and not word.isupper() and word.lower() not in language.short_words
        return 0 if short and self._use_abbreviations else space

    def _letter(self, text: str, space: int, after: int, end: int, word: str) -> int:
        """A period after a single letter, which is an initial unless a function word follows."""
        if not self._use_abbreviations:
            return space
        if word.islower() and word in self._language.short_words:
            return space
        return space if self._words.starts(text, after, end) else 0

    def _ordinal(self, text: str, at: int, after: int, end: int, word: str) -> bool:
        """Whether a number and its period form an ordinal, as in "am 3. Oktober"."""
        if text[after].islower() or self._words.next_word(text, after, end) in self._language.ordinal_nouns:
            return True
        lead = text[max(0, at - len(word) - 16) : at - len(word)].split()[-1:]
        return bool(lead) and lead[0].lower() in self._language.ordinal_leads

    def _abbreviation(
        self, text: str, sentence: int, at: int, space: int, after: int, end: int, word: str, kind: Kind
    ) -> int:
        """A period after an abbreviation of the given kind."""
        following = text[after]
        if kind is Kind.TITLE:
            return space if len(word) == 1 and word.isupper() and self._words.starts(text, after, end) else 0
        label = patterns.LABEL.match(text, after) is not None
        numeric = following.isnumeric() or following in "§#¶" or patterns.ROMAN.match(text, after) is not None
        if kind is Kind.NUMBERED:
            if numeric or label or following in "([" or following.islower():
                return 0
            # In capitals before a word that is not, it is an acronym.
            acronym = len(word) > 1 and word.isupper() and text[after + 1 : after + 2].islower()
            return space if acronym or self._words.starts(text, after, end) else 0
        if kind is Kind.COMMON:
            if following.isnumeric() and word.lower() in self._language.numbered:
                return 0
            if word[0].islower() or len(word) == 1:
                measure = following.islower() and text[max(0, at - len(word) - 2) : at - len(word) - 1].isdigit()
                return 0 if measure else space
            if following.islower() or numeric or label:
                return 0
            if word.isupper() or len(word) + 1 >= at - sentence:
                return space
        if following.islower() or following.isnumeric() or following in "([-–—§":
            return 0
        if kind is Kind.FINAL:
            clock = patterns.CLOCK.match(text, sentence, at) if at - sentence < beside.REACH else None
            if clock and clock[1].lower() in self._language.time_leads:
                return 0
            return 0 if self._words.next_word(text, after, end) in self._language.after_finals else space
        return space if self._words.starts(text, after, end) else 0

    def _run(self, text: str, sentence: int, at: int, space: int, after: int, end: int) -> int:
        """Any other run of terminators before white space: "?", "...", '."', ".)", "。"."""
        run = text[at : min(space, at + _RUN)]
        following, last = text[after], run[-1]
        if following in ",;:&" or (not following.isalnum() and patterns.GOES_ON.match(text, after, end)):
            return 0
        if not patterns.WIDE.isdisjoint(run):
            return space
        before = text[at - 1] if at > sentence else " "
        if not patterns.LOUD.isdisjoint(run):
            return self._loud(text, sentence, at, space, after, end, run, before)
        if following.islower():
            return 0
        if before in "[(" and last != "." and last not in patterns.QUOTES:
            return 0
        if following == "(" and last in patterns.QUOTES and len(run) > 2:
            return 0
        if run in (". . . .", ". ...") and before.isalnum() and following.isalpha():
            # A full stop, and an ellipsis that opens the next sentence.
            return at + 1
        if run.startswith(("..", ". ", "…")):
            return self._ellipsis(text, space, after, end)
        if last == ")" and self._cites and self._cited(text, sentence, space, after, end):
            return 0
        if run == ".)" and at - sentence <= 24 and self._detect_lists and OWN_MARKER.match(text, sentence, at):
            return 0
        if ".." not in run:
            word = beside.before(text, sentence, at)
            kind = self._kinds.get(word.lstrip(patterns.WORD_LEAD).lower())
            if kind is not None and kind <= Kind.CLOSING:
                quoted = kind is Kind.CLOSING and last in patterns.QUOTES
                return space if quoted or self._words.starts(text, after, end) else 0
        return space

    def _loud(self, text: str, sentence: int, at: int, space: int, after: int, end: int, run: str, before: str) -> int:
        """A run that contains a question mark or an exclamation mark."""
        following, last = text[after], run[-1]
        closed = last in patterns.QUOTES or last in patterns.BRACKETS
        if before in ":=/(" and (not following.isupper() or last in patterns.BRACKETS):
            return 0
        shouts = self._language.shouts
        if shouts and run == "!":
            word = beside.before(text, sentence, at)
            if word.lower() in shouts and not self._words.starts(text, after, end):
                return 0
        if following.islower():
            return 0 if closed else space
        return 0 if last in patterns.QUOTES and self._words.speaker(text, after, end) else space

    def _ellipsis(self, text: str, space: int, after: int, end: int) -> int:
        """An ellipsis that is not followed by a lower-case letter."""
        if text[after] == "I" and self._words.pronoun(text, after, end):
            return 0
        return 0 if patterns.QUOTED_LOWER.match(text, after, end) else space

    def _glued(self, text: str, sentence: int, at: int, after: int, end: int) -> tuple[int, int]:
        """A run with no white space after it: the end of the sentence, or 0, and the beginning of the next."""
        run = text[at : min(after, at + _RUN)]
        following = text[after]
        if not patterns.WIDE.isdisjoint(run):
            return (after if self._wide(text, at, after, end, run) else 0), after
        before = text[at - 1] if at > sentence else " "
        if following == "[":
            note = patterns.NOTE.match(text, after, end)
            if note is None or note.start(1) == note.end() or note.end() == end or text[note.end()].islower():
                return 0, after
            return note.start(1), note.end()
        if following.isdigit() and before <= "\u2e80":
            return self._footnote(text, sentence, at, after, end)
        if before > "\u2e80" and (following > "\u2e80" or following.isdigit()):
            return (after if run[0] in "!?." else 0), after
        return (after if self._run_on(text, sentence, at, after, end, run, before) else 0), after

    def _wide(self, text: str, at: int, after: int, end: int, run: str) -> bool:
        """Whether a wide terminator, as in scripts without spaces, ends a sentence."""
        if run[0] == "．" and text[after].isdigit() and text[at - 1 : at].isdigit():
            return False
        if len(run) > 1 and (run[-1] in patterns.QUOTES or run[-1] in patterns.BRACKETS):
            if patterns.PARTICLE.match(text, after, end):
                return False
            return run[0] == "。" or not patterns.LOWER_SPEAKER.match(text, after, end)
        return text[after] not in "、，,;；"

    def _run_on(self, text: str, sentence: int, at: int, after: int, end: int, run: str, before: str) -> bool:
        """Whether a sentence begins directly after the terminators ("end.Next"), outside names and links."""
        glued = patterns.GLUED_WORD.match(text, after, min(end, after + beside.REACH))
        if glued is None or before.isspace():
            return False
        head = beside.before(text, sentence, at)
        if not {"@", "/", "=", "&", "_"}.isdisjoint(head) or head.startswith("www."):
            return False
        word = glued[1]
        if run[0] in "?!":
            cased = word[0].isupper() or word[0].islower()
            return cased and before.isalpha() and run[-1] in "?!." and len(word) > 1
        if not word[0].isupper() or word[1:2].isupper() or not (before.islower() or before in ')"”'):
            return False
        if len(word) == 1 and word.lower() not in self._language.starters:
            return False
        head = head.strip("\"'“‘«([)”’,")
        return len(head) > 2 and head.isalpha() and head.lower() not in self._kinds and word not in _SUFFIXES

    def _footnote(self, text: str, sentence: int, at: int, after: int, end: int) -> tuple[int, int]:
        """A period followed by the number of a footnote ("insufficient.2 We disagree")."""
        number = patterns.FOOTNOTE.match(text, after, end)
        head = beside.before(text, sentence, at)
        if number is None or len(head) < 4 or not head.isalpha() or not head.islower() or head in self._kinds:
            return 0, after
        return number.start(1), number.end()


# What follows the period in names of products and hosts.
_SUFFIXES: Final = frozenset(("Net", "Com", "Org", "Js", "Io"))
