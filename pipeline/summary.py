"""What a run did: its counters, a progress line while it works, and a few lines when it ends."""

import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from apache_beam.metrics import MetricsFilter

from transforms.counters import NAMESPACE, process_counts

_TERMINAL_SECONDS = 1.0
_LOG_SECONDS = 10.0


def counters_of(result: Any) -> dict[str, int]:
    """A run's counters by name."""
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    return {metric.key.metric.name: metric.committed or metric.attempted or 0 for metric in found}


def distributions_of(result: Any) -> dict[str, Any]:
    """A run's distributions by name; each has min, max, mean and count."""
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["distributions"]
    return {metric.key.metric.name: metric.committed or metric.attempted for metric in found}


# The counters of dead letters, each with the stage that it counts.
_DEAD_LETTERS = {
    "dead_letters_read": "read",
    "dead_letters_parse": "parse",
    "dead_letters_split": "split",
    "dead_letters_rows": "rows",
    "dead_letters_embed": "embed",
    "rows_refused": "write",
    "pubsub_refused": "publish",
}


def dead_letters_of(counters: dict[str, int]) -> dict[str, int]:
    """Dead letters by stage."""
    return {stage: counters[name] for name, stage in _DEAD_LETTERS.items() if counters.get(name)}


def _engines(counters: dict[str, int]) -> str:
    """The engines that ran, and their precisions; more than one if workers chose differently."""
    names = [name.removeprefix("encoded_by_").split("_") for name in sorted(counters) if name.startswith("encoded_by_")]
    return " and ".join(f"{engine} in {precision}" for engine, precision in names)


def summary(result: Any, seconds: float, output: str, dead_letters: str) -> str:
    """The lines that a local run ends with."""
    counters = counters_of(result)
    distributions = distributions_of(result)
    get = counters.get
    dead = dead_letters_of(counters)
    sentences = get("rows_written", get("rows", 0))
    lines = [
        f"rows          {sentences:,} in {output}",
        f"rows read     {get('rows_read', 0):,}, and {get('rows_doubled', 0):,} duplicates left out"
        if "rows_read" in counters
        else f"messages      {get('messages', 0):,}, and {get('messages_blank', 0):,} without text left out",
        f"sentences     {get('sentences', 0):,}, of them truncated {get('truncated', 0):,}"
        + (f", written already {get('sentences_written', 0):,}" if "sentences_written" in counters else "")
        + (f", and {get('sentences_dropped', 0):,} dropped by length" if get("sentences_dropped") else ""),
        f"time          {seconds:.1f} s, {sentences / max(seconds, 1e-9):,.0f} sentences a second",
        f"tokens        {get('tokens', 0):,}, and {get('padded_tokens', 0):,} of padding",
    ]
    if batches := distributions.get("batch_size"):
        lines.append(f"batches       {batches.count:,} of {batches.mean:,.0f} sentences on average")
    if load := distributions.get("model_load_ms"):
        lines.append(f"model loaded  in {load.max / 1000:.1f} s, run by {_engines(counters)}")
    # Messages are acknowledged between bundles, where Beam's metrics do not reach.
    if acknowledged := process_counts().get("pubsub_acknowledged"):
        lines.append(f"acknowledged  {acknowledged:,} of {get('pubsub_pulled', 0):,} pulled")
    if retries := get("write_retries"):
        lines.append(f"retries       {retries:,} of writes")
    if total := sum(dead.values()):
        stages = ", ".join(f"{count:,} in {stage}" for stage, count in sorted(dead.items()))
        lines.append(f"dead letters  {total:,} ({stages}), each with its whole input, in {dead_letters}")
    else:
        lines.append("dead letters  none")
    return "\n".join(lines)


def replaced_files(replaced: Mapping[str, int]) -> str:
    """The line that says which files of an earlier run a batch replaced, from their number by prefix."""
    places = ", ".join(f"{count:,} of {prefix}" for prefix, count in replaced.items() if count)
    return f"replaced      {sum(replaced.values()):,} files of an earlier run ({places})" if places else ""


def why_no_rows(counters: dict[str, int]) -> str:
    """Why a run made no row of what it read; "" if it made one, read nothing, or left out what was written already."""
    get = counters.get
    dead = sum(dead_letters_of(counters).values())
    read = dead + sum(get(name, 0) for name in ("messages", "messages_blank", "rows_read"))
    if get("rows") or get("sentences_written") or not read:
        return ""
    reasons = {
        "dead letters": dead,
        "messages without text": get("messages_blank"),
        "sentences dropped by length": get("sentences_dropped"),
    }
    return ", ".join(f"{count:,} {what}" for what, count in reasons.items() if count) or "no text has a sentence"


class Progress:
    """Prints the counts of this process to standard error while the block runs."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._terminal = sys.stderr.isatty()
        self._thread = threading.Thread(target=self._run, daemon=True, name="progress")

    def __enter__(self) -> None:
        self._before = process_counts()
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
            counts = {name: count - self._before.get(name, 0) for name, count in process_counts().items()}
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
