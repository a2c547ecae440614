"""The languages that have tables of words.

The tables were compiled for this project. Some of their entries were learned from the development sets of the Universal
Dependencies treebanks English EWT, German, French, Spanish and Russian GSD, Portuguese Bosque and Dutch LassySmall,
whose texts are under CC BY-SA 4.0, and from reporters-db and courts-db (BSD-2-Clause).
"""

from typing import Final

from transforms.splitter.languages import dutch, english, german, romance, scripts, slavic
from transforms.splitter.languages.common import COMPANIES, TITLES
from transforms.splitter.languages.language import Language

LANGUAGES: Final = {
    language.code: language
    for language in (
        english.ENGLISH,
        german.GERMAN,
        dutch.DUTCH,
        romance.FRENCH,
        romance.SPANISH,
        romance.PORTUGUESE,
        romance.ITALIAN,
        romance.ROMANIAN,
        slavic.RUSSIAN,
        slavic.POLISH,
        slavic.CZECH,
        scripts.CHINESE,
        scripts.JAPANESE,
        scripts.HINDI,
        scripts.ARABIC,
    )
}
GENERIC: Final = Language(code="", titles=TITLES, closings=COMPANIES)

__all__ = ["GENERIC", "LANGUAGES", "Language"]
