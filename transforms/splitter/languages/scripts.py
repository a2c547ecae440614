"""Languages whose scripts have no capitals: Chinese, Japanese, Hindi and Arabic."""

# ruff: noqa: RUF001 (the characters are meant)

from transforms.splitter.languages.common import COMPANIES, TITLES
from transforms.splitter.languages.language import Language, words

CHINESE = Language(code="zh", titles=TITLES, closings=COMPANIES)
JAPANESE = Language(code="ja", titles=TITLES, closings=COMPANIES)
HINDI = Language(
    code="hi",
    titles=TITLES | words("डॉ डा प्रो श्री श्रीमती सुश्री कु मो स्व पं इंजी कै ले कर्नल जन न्या मि मिस एड सं"),
    numbered=words("पृ क्र सं रु नं भा अ कि मी फो"),
    closings=COMPANIES
    | words("""
        ए बी सी डी ई एफ एच आई जे के एल एम एन पी आर एस टी यू वी डब्ल्यू वाई ई.पू कि.मी कि.ग्रा मि.मी से.मी एम.ए
        बी.ए पी.एच.डी
    """),
    lower_starts=False,
)
ARABIC = Language(
    code="ar",
    titles=TITLES | words("د أ م ا.د أ.د أد ا.م أ.م د.م ش ح ع ه"),
    numbered=words("ص ج ط ع ق"),
    closings=COMPANIES | words("ق.م ب.م ق.هـ ر.س د.ك ج.م هـ ه م ش.م.م ش.م.ك إلخ الخ"),
    finals=words("إلخ الخ هـ"),
    lower_starts=False,
)
