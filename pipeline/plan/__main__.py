"""`python -m pipeline.plan`: print the workers, the cost and the quotas of a stream on Dataflow."""

import argparse
import math
import sys
from collections.abc import Sequence
from typing import NamedTuple

from pipeline import console, stopping
from pipeline.arguments import Parser, add_options, check_values
from pipeline.command_line import in_command_line
from pipeline.options import OPTIONS
from pipeline.plan.sizing import HEAD_ROOM, Encoder, Load, Place, Plan, plan
from pipeline.plan.tables import HOURS_A_MONTH, SEEN, STREAM_SHARE, measured
from transforms.encoder.catalogue import CATALOGUE
from transforms.encoder.reasons import reason_of

# What says how the messages of a file are read, split and embedded; --calibrate takes the place of --input.
_OF_MESSAGES = tuple(
    option
    for option in OPTIONS
    if option.group in ("Input", "Sentences", "Vectors")
    and option.reads != "stream"
    and option.name not in ("input", "input_journal")
)
# These two also say what a plan without a file is for.
_ALWAYS = ("model", "precision")
_LONG_ENOUGH_SECONDS = 10.0


class _Number(NamedTuple):
    """An option that is a number: its bounds, its default ("" for none), and what it is."""

    low: float
    high: float
    default: str
    help: str


_NUMBERS = {
    "messages_per_second": _Number(0.001, 1e6, "", "Messages a second; required."),
    "sentences_per_message": _Number(0.001, 1e5, "", "Sentences in a message, on average; by default, those of FILE."),
    "message_bytes": _Number(1, 1e7, "", "Bytes of a message, on average; by default, those of FILE, or 1000."),
    "keep_days": _Number(0, 36_500, "30", "For how many days rows are kept."),
}
_VCPUS = ("4", "8")
_LOCATIONS = ("region", "multi_region")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns 0, 1 if FILE could not be embedded, or 2 if it was refused."""
    console.prepare()
    try:
        arguments = _parser().parse_args(argv)
        print("\n".join(_lines(arguments)))
    except ValueError as error:
        print(f"python -m pipeline.plan: {in_command_line(str(error))}", file=sys.stderr)
        return 2
    # Beam wraps what a worker raised in RuntimeError, or passes it on unchanged.
    except Exception as error:
        print(f"python -m pipeline.plan: the pipeline failed: {in_command_line(reason_of(error, -1))}", file=sys.stderr)
        return 1
    return 0


def _parser() -> Parser:
    parser = Parser(
        "pipeline.plan",
        "Plan a stream on Dataflow, from Pub/Sub to BigQuery: workers, cost, the quota that is met first.",
        epilog="docs/scaling.md says how the numbers are made.",
    )
    for name, (_, _, default, said) in _NUMBERS.items():
        shown = f" [{default}]" if default else ""
        parser.add_argument(f"--{name}", default=default, metavar="NUMBER", help=f"{said}{shown}")
    parser.add_argument(
        "--calibrate",
        default="",
        metavar="FILE",
        help="Measure the rate on this machine, with the messages of this file, a glob, or - for standard input. The "
        "options below say how to read them, as in `python -m pipeline`.",
    )
    parser.add_argument(
        "--vcpus_per_worker", default="4", metavar="|".join(_VCPUS), help="vCPUs of a worker, which is one process. [4]"
    )
    parser.add_argument(
        "--bigquery_location",
        default=_LOCATIONS[0],
        metavar="|".join(_LOCATIONS),
        help="Where the dataset is: in one region, as Terraform makes it, or in the US or EU. [region]",
    )
    add_options(parser, _OF_MESSAGES)
    return parser


def _lines(arguments: argparse.Namespace) -> list[str]:
    numbers = {name: _number(name, getattr(arguments, name)) for name in _NUMBERS}
    place = Place(
        int(_chosen("vcpus_per_worker", arguments.vcpus_per_worker, _VCPUS)),
        _chosen("bigquery_location", arguments.bigquery_location, _LOCATIONS),
        _given("keep_days", numbers["keep_days"]),
    )
    messages = _given("messages_per_second", numbers["messages_per_second"])
    length, sentences = numbers["message_bytes"], numbers["sentences_per_message"]
    if arguments.calibrate:
        check_values(arguments, _OF_MESSAGES)
        # Beam and TensorFlow take seconds to import.
        from pipeline.plan.calibrate import calibrate

        found = calibrate(arguments)
        encoder = found.encoder
        length, sentences = length or found.message_bytes, sentences or found.sentences_per_message
        origin = (
            f"{arguments.model}, --precision={arguments.precision}, on this machine: "
            f"{found.sentences:,} sentences in {found.seconds:.1f} s on {found.cpus} CPUs"
        )
        if found.seconds < _LONG_ENOUGH_SECONDS:
            origin += ", which is short; give more messages"
    else:
        encoder, origin = _known(arguments)
        length, sentences = length or 1000.0, _given("sentences_per_message", sentences)
    load = Load(messages, sentences, length)
    return _shown(load, encoder, place, plan(load, encoder, place), origin)


def _number(name: str, given: str) -> float | None:
    """The value of an option, None if it is not given."""
    low, high, _, _ = _NUMBERS[name]
    if not given:
        return None
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ValueError(f"expected --{name} from {low:,g} to {high:,.0f}, got {given!r}")
    return value


def _given(name: str, value: float | None) -> float:
    if value is None:
        raise ValueError(
            f"expected --{name}=NUMBER, got none"
            + ("; or --calibrate=FILE, to take it from messages" if name == "sentences_per_message" else "")
        )
    return value


def _chosen(name: str, given: str, choices: Sequence[str]) -> str:
    if given not in choices:
        raise ValueError(f"expected --{name} to be {' or '.join(choices)}, got {given!r}")
    return given


def _known(arguments: argparse.Namespace) -> tuple[Encoder, str]:
    """The encoder that was measured before, and a line on where."""
    for option in _OF_MESSAGES:
        if option.name not in _ALWAYS and getattr(arguments, option.name) != option.default:
            raise ValueError(f"expected --calibrate=FILE with --{option.name}, which says how to read it; add the file")
    known = CATALOGUE | {model.alias: model for model in CATALOGUE.values() if model.alias}
    model = known.get(arguments.model)
    rate = measured(model.name, arguments.precision) if model else None
    if model is None or rate is None:
        raise ValueError(
            f"expected --model and --precision whose rate is known, got {arguments.model!r} in "
            f"{arguments.precision}; measure it with --calibrate=FILE --input_format=FORMAT"
        )
    origin = f"{model.name} in {rate.precision}, measured on {rate.machine}"
    return Encoder(rate.sentences, rate.process_gb, model.dimension), origin


_BYTES = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
_MILLIONS = (" million", " billion")
_COST = "{:20} {:>14}  {:>4}"
_QUOTA = "{:28} {:>12} {:>12} {:>8}   {}"


def _shown(load: Load, encoder: Encoder, place: Place, made: Plan, origin: str) -> list[str]:
    rows = load.messages * load.sentences
    million = made.cost / (rows * HOURS_A_MONTH * 3600 / 1e6)
    first, *_ = made.uses
    lines = [
        f"load          {number(load.messages)} messages a second, of {number(load.sentences)} sentences and "
        f"{size(load.bytes)} each; {number(rows)} sentences a second",
        f"rate          {number(encoder.sentences)} sentences a second and vCPU: {origin}",
        f"in a stream   {STREAM_SHARE:.0%} of that; {number(made.capacity)} sentences a second and worker",
        f"workers       {made.workers:,}, of {place.vcpus} vCPUs and {made.worker_gb:.0f} GB each",
        f"vCPUs         {made.workers * place.vcpus:,}; the project's quota of them must allow it",
        f"memory        {size(made.workers * made.worker_gb * 1e9)}; the process of a worker takes "
        f"{encoder.process_gb:.1f} GB",
        f"head room     {HEAD_ROOM:g} times the load: what came in during an outage of 1 hour is done after "
        f"{1 / (HEAD_ROOM - 1):.0f} more",
        f"rows          {size(made.row_bytes)} each in BigQuery, of which the vector takes {size(made.vector_bytes)}; "
        f"{size(made.written)} a second",
        f"kept          {size(made.written * place.days * 86_400)} in {number(place.days)} days",
        "",
        _COST.format("cost a month", "$", "share"),
        *(_COST.format(what, money(cost), f"{cost / made.cost:.0%}") for what, cost in made.costs.items()),
        _COST.format("in all", money(made.cost), ""),
        _COST.format("a million sentences", money(million), ""),
        "",
        _QUOTA.format("quota", "needed", "limit", "used", "met at (messages a second)"),
    ]
    for quota, need, met_at in made.uses:
        counted = size if quota.unit.startswith("bytes") else number
        lines.append(
            _QUOTA.format(quota.what, counted(need), counted(quota.value), _percent(need / quota.value), number(met_at))
        )
    lines += ["", f"met first     {first.quota.what}, at {number(first.met_at)} messages a second"]
    lines += [
        f"exceeded      {quota.what}, {number(need / quota.value)} times; {quota.remedy}"
        for quota, need, _ in made.uses
        if need > quota.value
    ]
    lines.append(f"prices        of us-central1, and quotas, as quoted on {SEEN}; docs/scaling.md has the sources")
    return [line.rstrip() for line in lines]


def _percent(share: float) -> str:
    return f"{number(round(100 * share, 1))}%" if share >= 0.001 else "<0.1%"


def number(value: float) -> str:
    """A number with three significant digits, without zeros at its end that are behind the point."""
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    text = f"{round(value, digits):,.{max(0, digits)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def size(value: float) -> str:
    """A number of bytes, in a unit that leaves up to three digits before the point."""
    return _scaled(value, _BYTES, " ")


def money(value: float) -> str:
    """Dollars, to the cent below a hundred, else with three significant digits."""
    if value < 100:
        return f"{value:,.2f}"
    if value < 999_500:
        return number(value)
    return _scaled(value / 1e6, _MILLIONS, "")


def _scaled(value: float, units: Sequence[str], gap: str) -> str:
    power = 0
    while power < len(units) - 1 and float(number(value / 1000**power).replace(",", "")) >= 1000:
        power += 1
    return f"{number(value / 1000**power)}{gap}{units[power]}"


if __name__ == "__main__":
    stopping.leave("python -m pipeline.plan", main)
