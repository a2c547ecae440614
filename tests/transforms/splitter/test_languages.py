"""How the other languages are split."""

import logging

import pytest

from transforms import SentenceSplitter
from transforms.splitter import LANGUAGE_CODES

EXAMPLES = [
    ("de", "Am 3. Oktober 1990 kam Dr. Müller z. B. um 15 Uhr.|Das kostet ca. 5 Mio. Euro."),
    ("de", "„Was?“, fragte er.|„Nichts.“|Sie ging.|Friedrich II. war König."),
    ("fr", "M. Dupont est né en 50 av. J.-C. à Lyon.|Cf. p. 12.|L'art. 5 s'applique.|Non ?|Si !"),
    ("es", "El Sr. García llegó a las 5 p.m.|Después se fue.|¿Qué es?|¡Vaya!|El núm. 5 ganó."),
    ("es", "A las 4 p.m. Ana durmió.|Eran las 5 p.m.|Ana salió."),
    ("es", "Los lobos huyeron;|El resto es silencio."),
    ("pt", "O Sr. Silva mora na Av. Paulista, n. 5.|É longe.|Que horas são?|Não sei."),
    ("pt", "Acidente causa morte|O carro bateu no muro."),
    ("it", "Il sig. Rossi, ecc. non c'erano.|L'art. 3 della legge n. 104 è chiaro.|Perché no?"),
    ("ro", "Dl. Ionescu a citit art. 15 alin. (5) și pct. 3.|Apoi a plecat.|Al. Graur și Gh. Popa au scris, ș.a.m.d."),
    ("ro", "Compania S.C. Exemplu S.R.L. are sediul pe str. Lungă nr. 5.|De ce?|Nu știu."),
    ("nl", "Dhr. Jansen zag o.a. prof. dr. De Vries.|Dat kost ca. 5 mln. euro.|Zie blz. 5."),
    ("ru", "А. С. Пушкин родился в 1799 г. в Москве.|Он был поэт, и т. д.|Потом ушел."),
    ("pl", "Prof. Jan Kowalski urodził się w 1950 r. w Warszawie.|Mieszkał na ul. Długiej, m.in. z psem."),
    ("cs", "Narodil se 5. ledna 1950 v Praze.|Ing. Novák a MUDr. Černý přišli.|Karel IV. byl král."),
    ("cs", "Pole má 5 ha.|Patří obci, viz čl. 5.|Vyvinuli čistič ČL.|Úkol trvá."),
    ("pl", "Pole ma 5 ha.|Należy do gminy."),
    ("cs", "Zničeno bylo kolem 1600 př. n. l.|Město zaniklo v 5. století n.l. požárem."),
    ("pl", "Zmarł w 44 r. p.n.e.|Cezar był wodzem do 44 r. p.n.e. włącznie."),
    ("fr", "Il est né en 50 av. J.-C.|César régna après J.-C. aussi."),
    ("ru", "Город основан в 5 веке до н. э.|Рим пал в 476 году н. э. и позже."),
    ("hi", "डॉ. शर्मा आए।|क्या आप जाएंगे?|श्री ए. के. सिंह ने कहा।"),
    ("ar", "قال د. أحمد إن الأمر صعب.|هل هذا صحيح؟|نعم!"),
]


@pytest.mark.parametrize(("language", "marked"), EXAMPLES)
def test_language(language: str, marked: str) -> None:
    """Abbreviations, numbers and quotations of the language."""
    expected = marked.split("|")
    text = " ".join(expected)
    assert [text[begin:end] for begin, end in SentenceSplitter(language).spans(text)] == expected


@pytest.mark.parametrize(
    ("language", "marked"),
    [
        ("zh", "他说：“你好。”|然后走了。|真的吗？|价格是3.5元。"),
        ("zh", "“你去哪里？”他问道。|“回家！”她喊。"),
        ("ja", "彼は「行くよ。」と言った。|本当ですか？|はい！"),
        ("ja", "価格は3.5ドル。|Yahoo!で検索した。"),
        ("ja", "いい所でした☆|らき☆すたを見ます♪♪|行くよ♡|また来た。"),
        ("ja", "本当ですか?|2008年に始まった!|3年後に終わった。"),
    ],
)
def test_scripts_without_spaces(language: str, marked: str) -> None:
    """Wide terminators need no white space behind them."""
    expected = marked.split("|")
    text = "".join(expected)
    assert [text[begin:end] for begin, end in SentenceSplitter(language).spans(text)] == expected


def test_languages() -> None:
    """The languages that have tables."""
    expected = {"ar", "cs", "de", "en", "es", "fr", "hi", "it", "ja", "nl", "pl", "pt", "ro", "ru", "zh"}
    assert set(LANGUAGE_CODES) == expected


@pytest.mark.parametrize("language", ["pt-BR", "pt_BR", "PT"])
def test_region_and_case_do_not_matter(language: str) -> None:
    """A code may have a region."""
    text = "O Sr. Silva saiu. Ele foi."
    assert SentenceSplitter(language).spans(text) == SentenceSplitter("pt").spans(text)


def test_unknown_language(caplog: pytest.LogCaptureFixture) -> None:
    """An unknown code gets generic rules, and one warning however often it comes."""
    with caplog.at_level(logging.WARNING):
        splitters = [SentenceSplitter("tlh") for _ in range(3)]
    assert len(caplog.records) == 1
    assert "'tlh'" in caplog.text
    assert len(splitters[0].spans("Qapla! Dr. Worf nuqneH. HIja.")) == 3
