"""What a run did: its counters, a progress line while it works, and a few lines when it ends."""

import collections
import difflib
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from apache_beam.metrics import MetricsFilter

from pipeline.settings import Settings
from transforms.columns import own_columns
from transforms.counters import NAMESPACE, process_counts
from transforms.dead_letters import REASON_PREFIX, cause_of
from transforms.parsing import NAMING_OPTIONS
from transforms.splitter import LANGUAGE_CODES, UNDETERMINED

_TERMINAL_SECONDS = 1.0
_LOG_SECONDS = 10.0


# The steps that read journals, and rows whose vectors are used again.
_BESIDE = ("Read journal/", "Read written/", "Read reused/")


def counters_of(result: Any) -> dict[str, int]:
    """A run's counters by name, over all steps but those that read what is beside its input."""
    counters: collections.Counter[str] = collections.Counter()
    for metric in result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]:
        if not metric.key.step.startswith(_BESIDE):
            counters[metric.key.metric.name] += metric.committed or metric.attempted or 0
    return dict(counters)


def distributions_of(result: Any) -> dict[str, Any]:
    """A run's distributions by name; each has min, max, mean and count."""
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["distributions"]
    return {metric.key.metric.name: metric.committed or metric.attempted for metric in found}


def texts_of(result: Any, name: str) -> set[str]:
    """The texts in a run's string set of that name."""
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE).with_name(name))["string_sets"]
    return {text for metric in found for text in metric.result}


# The counters of dead letters, each with the stage that it counts.
_DEAD_LETTERS = {
    "dead_letters_read": "read",
    "dead_letters_parse": "parse",
    "dead_letters_split": "split",
    "dead_letters_rows": "rows",
    "dead_letters_embed": "embed",
    "rows_refused": "write",
    "pubsub_refused": "publish",
    "journal_refused": "journal",
}


def dead_letters_of(counters: dict[str, int]) -> dict[str, int]:
    """Dead letters by stage."""
    return {stage: counters[name] for name, stage in _DEAD_LETTERS.items() if counters.get(name)}


_MOST_REASONS = 5


def reasons_of(counters: dict[str, int]) -> list[tuple[str, int]]:
    """The most frequent causes of dead letters: an example of each, and how many there are."""
    counts: collections.Counter[str] = collections.Counter()
    examples: dict[str, str] = {}
    for name, count in sorted(counters.items()):
        if name.startswith(REASON_PREFIX):
            example = name.removeprefix(REASON_PREFIX)
            counts[cause_of(example)] += count
            examples.setdefault(cause_of(example), example)
    return [(examples[cause], count) for cause, count in counts.most_common(_MOST_REASONS)]


def _engines(counters: dict[str, int]) -> str:
    """The engines that ran, and their precisions; more than one if workers chose differently."""
    names = [name.removeprefix("encoded_by_").split("_") for name in sorted(counters) if name.startswith("encoded_by_")]
    return " and ".join(f"{engine} in {precision}" for engine, precision in names)


# What each record of a file became, and the counter of those that became it.
_FATES = {
    "messages": "messages",
    "without text": "messages_blank",
    "deletions": "messages_deleted",
    "filtered": "messages_filtered",
    "dead letters of parsing": "dead_letters_parse",
    "not readable": "records_unreadable",
}


def _account(counters: dict[str, int]) -> list[str]:
    """The lines on what became of every file, and of every record in them."""
    get = counters.get
    lines = []
    if "rows_read" in counters:
        retired = f", {get('rows_retired', 0):,} of retired versions" if get("rows_retired") else ""
        return [f"rows read     {get('rows_read', 0):,}{retired}, and {get('rows_doubled', 0):,} duplicates left out"]
    if "files" in counters:
        fates = {"left out": "files_left_out", "not readable to the end": "files_unreadable"}
        lines.append(f"files         {get('files', 0):,} read{_parts(counters, fates)}")
    if "records" not in counters:
        others = _parts(counters, {"deletions": "messages_deleted", "filtered": "messages_filtered"})
        blank = get("messages_blank", 0)
        return [*lines, f"messages      {get('messages', 0):,}{others}, and {blank:,} without text"]
    lines.append(f"records       {get('records', 0):,}: {get('messages', 0):,} messages{_parts(counters, _FATES)}")
    if lost := get("records", 0) + get("messages_made", 0) - sum(get(name, 0) for name in _FATES.values()):
        lines.append(f"unaccounted   {lost:,} records; please report this")
    return lines


def _parts(counters: dict[str, int], fates: dict[str, str]) -> str:
    return "".join(
        f", {counters[name]:,} {fate}" for fate, name in fates.items() if counters.get(name) and fate != name
    )


def names_of_nothing(result: Any, settings: Settings) -> dict[str, str]:
    """The options that name a field or attribute that nothing had, each with a line that says so."""
    counters = counters_of(result)
    elements = "messages" if settings.parser else "sentences"
    named = {option: getattr(settings.parser, option, "") for option in NAMING_OPTIONS}
    if settings.parser and settings.parser.text_template:
        named |= {f"text_template.{name}": name for name in settings.parser.text_names}
    named |= {"language_field": settings.splitting.language_field if settings.parser else ""}
    named |= {f"metadata_fields.{name}": name for name in settings.splitting.metadata_fields or ()}
    named |= {f"columns.{own.column.name}": own.field for own in own_columns(settings.splitting.columns)}
    # Names of fields and attributes, from messages that lack one that an option names.
    count, others = counters.get(elements, 0), texts_of(result, "names")
    lines = {}
    for option, name in named.items():
        if count and name and f"found_{option}" not in counters:
            close = difflib.get_close_matches(name, others, 1, cutoff=0.5)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            lines[option] = f"{option.partition('.')[0]} {name!r} in none of {count:,} {elements}{hint}"
    return lines


def summary(result: Any, seconds: float, settings: Settings, kept: bool = True) -> str:
    """The lines that a local run ends with; `kept` is whether its rows are where they belong."""
    output, dead_letters = settings.output, settings.dead_letters
    counters = counters_of(result)
    distributions = distributions_of(result)
    get = counters.get
    if not counters:
        return f"rows          in {output}; this runner tells no counts\ntime          {seconds:.1f} s"
    dead = dead_letters_of(counters)
    sentences = get("rows_written", get("rows", 0))
    lines = [
        f"rows          {sentences:,} in {output}"
        if kept or not sentences
        else f"rows          {sentences:,}, not kept",
        *_account(counters),
        f"sentences     {get('sentences', 0):,}, of them truncated {get('truncated', 0):,}"
        + (f", written already {get('sentences_written', 0):,}" if "sentences_written" in counters else "")
        + (f", doubled {get('sentences_doubled', 0):,}" if get("sentences_doubled") else "")
        + (f", and {get('sentences_dropped', 0):,} dropped by length" if get("sentences_dropped") else ""),
        *([f"reused        {get('vectors_reused', 0):,} vectors of {settings.reuse}"] if settings.reuse else []),
        *(
            [f"journal       {get('versions', 0):,} versions of messages in {settings.journal}"]
            if settings.journal
            else []
        ),
        f"time          {seconds:.1f} s, {sentences / max(seconds, 1e-9):,.0f} sentences a second",
        f"tokens        {get('tokens', 0):,}, and {get('padded_tokens', 0):,} of padding",
    ]
    if calls := distributions.get("udf_us"):
        udf = f"{settings.parser.udf_function} of {settings.parser.udf}" if settings.parser else ""
        more = f", {get('messages_made', 0):,} messages more than records" if get("messages_made") else ""
        lines.append(f"udf           {calls.count:,} calls of {calls.mean / 1000:,.2f} ms on average{more}: {udf}")
    if batches := distributions.get("batch_size"):
        lines.append(f"batches       {batches.count:,} of {batches.mean:,.0f} sentences on average")
    if load := distributions.get("model_load_ms"):
        lines.append(f"model loaded  in {load.max / 1000:.1f} s, run by {_engines(counters)}")
    lines.extend(f"prompts       {prompts}" for prompts in sorted(texts_of(result, "prompts")))
    is_stream = settings.input_subscription or settings.input_topic
    if is_stream and (lags := distributions.get("rows_lag_ms")):
        spread = ", ".join(f"{name} {getattr(lags, name) / 1000:,.3f} s" for name in ("min", "mean", "max"))
        lines.append(f"lag           {spread} from a message's time to its rows, over {lags.count:,} messages")
    # Messages are acknowledged between bundles, where Beam's metrics do not reach.
    if acknowledged := process_counts().get("pubsub_acknowledged"):
        lines.append(f"acknowledged  {acknowledged:,} of {get('pubsub_pulled', 0):,} pulled")
    if retries := get("write_retries"):
        lines.append(f"retries       {retries:,} of writes")
    if total := sum(dead.values()):
        stages = ", ".join(f"{count:,} in {stage}" for stage, count in sorted(dead.items()))
        lines.append(f"dead letters  {total:,} ({stages}), each with its whole input, in {dead_letters}")
        if spilled := get("dead_letters_spilled"):
            lines.append(f"spilled       {spilled:,} of them, which {dead_letters} refused, in {settings.spill_dir}")
        lines.extend(f"{'':14}{count:,} such as: {example}" for example, count in reasons_of(counters))
    else:
        lines.append("dead letters  none")
    if torn := get("versions_torn"):
        lines.append(f"torn          {torn:,} versions of which not all rows were read, left out")
    languages = collections.Counter({code: get(f"language_{code}", 0) for code in (*LANGUAGE_CODES, UNDETERMINED)})
    if found := [f"{count:,} {code}" for code, count in languages.most_common() if count]:
        lines.append(f"languages     detected: {', '.join(found)}")
    if unknown := get("languages_unknown"):
        field = settings.splitting.language_field
        lines.append(
            f"languages     {unknown:,} messages whose {field!r} names no language with rules; split by generic ones"
        )
    if early := get("messages_of_january_1970"):
        lines.append(f"times         {early:,} messages of January 1970; give seconds as milliseconds, or RFC 3339")
    lines.extend(f"not found     {line}" for line in names_of_nothing(result, settings).values())
    return "\n".join(lines)


def replaced_files(replaced: Mapping[str, int]) -> str:
    """The line that says which files of an earlier run a batch replaced, from their number by prefix."""
    places = ", ".join(f"{count:,} of {prefix}" for prefix, count in replaced.items() if count)
    return f"replaced      {sum(replaced.values()):,} files of an earlier run ({places})" if places else ""


def too_many_dead_letters(counters: dict[str, int], most: str) -> str:
    """What is wrong with the number of dead letters; "" if there are at most `most`, a number or a share."""
    letters = sum(dead_letters_of(counters).values())
    read = counters.get("records") or counters.get("rows_read") or counters.get("messages", 0) + letters
    limit = float(most) * read if "." in most else int(most or letters)
    return f"expected at most {most} dead letters, got {letters:,} of {read:,} read" if letters > limit else ""


def why_no_rows(counters: dict[str, int]) -> str:
    """Why a run made no row of what it read; "" if it made one, had none to make, or left out what was written."""
    get = counters.get
    dead = sum(dead_letters_of(counters).values())
    read = dead + sum(get(name, 0) for name in ("messages", "messages_blank", "messages_filtered", "rows_read"))
    if get("rows") or get("sentences_written") or get("messages_deleted") or not read:
        return ""
    reasons = {
        "dead letters": dead,
        "messages without text": get("messages_blank"),
        "messages filtered": get("messages_filtered"),
        "sentences dropped by length": get("sentences_dropped"),
        "versions of which not all rows were read": get("versions_torn"),
    }
    return ", ".join(f"{count:,} {what}" for what, count in reasons.items() if count) or "no text has a sentence"


class Progress:
    """Prints counts to standard error while the block runs: those of this process, unless `count` gives others."""

    def __init__(self, count: Callable[[], dict[str, int]] = process_counts) -> None:
        self._count = count
        self._done = threading.Event()
        self._terminal = sys.stderr.isatty()
        self._thread = threading.Thread(target=self._run, daemon=True, name="progress")

    def __enter__(self) -> None:
        self._before = self._count()
        self._start = time.monotonic()
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        if self._terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def _run(self) -> None:
        while not self._done.wait(_TERMINAL_SECONDS if self._terminal else _LOG_SECONDS):
            counts = {name: count - self._before.get(name, 0) for name, count in self._count().items()}
            seconds = time.monotonic() - self._start
            rows = counts.get("rows", 0)
            line = (
                f"{seconds:5.0f} s  {counts.get('messages', 0):,} messages, {rows:,} sentences embedded "
                f"({rows / seconds:,.0f}/s), {sum(dead_letters_of(counts).values()):,} dead letters"
            )
            if self._terminal:
                print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
            else:
                print(line, file=sys.stderr, flush=True)
