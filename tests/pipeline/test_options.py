import pytest

from pipeline.command_line import parse
from pipeline.options import OPTIONS

MINIMAL = ["--input=a", "--input_format=text", "--output=b", "--output_format=jsonl"]


def test_defaults_are_those_of_the_table() -> None:
    """What is not given is what the one definition says."""
    options, _ = parse(MINIMAL)
    for option in OPTIONS:
        if not option.required:
            assert option.name == "input" or getattr(options, option.name) == option.default


def test_beams_options_are_taken_too() -> None:
    """Any option of Beam's goes through."""
    from apache_beam.options.pipeline_options import DirectOptions

    _, beam_options = parse([*MINIMAL, "--direct_num_workers=2", "--runner=FnApiRunner"])
    assert beam_options.view_as(DirectOptions).direct_num_workers == 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--input=b"], "expected --input once, got it 2 times; name a folder or a pattern for several files"),
        (["--modle=x"], "unknown option '--modle'; did you mean --model?"),
        (["--input_format=jsonn"], "expected --input_format to be one of .*, got 'jsonn'; did you mean 'json'"),
        (["--input_format="], "expected --input_format=.*, got none"),
        (["--max_seq_length=x"], "argument --max_seq_length: invalid int value: 'x'"),
        (["--max_seq_length=1"], "expected --max_seq_length to be at least 3, got 1"),
        (["--batch_size=0"], "expected --batch_size to be at least 1, got 0"),
        (["--input_topic=projects/p/topics/texts"], "expected one of --input, .*, got --input and --input_topic"),
        (["--input="], "expected one of --input, --input_subscription, --input_topic, got none"),
        (["--pooling=max"], "expected --pooling to be one of .*, got 'max'"),
    ],
)
def test_a_wrong_option_is_one_line(arguments: list[str], reason: str) -> None:
    """The option, what was expected, what was given."""
    with pytest.raises(ValueError, match=reason) as error:
        parse([*MINIMAL, *arguments])
    assert "\n" not in str(error.value)


def test_every_required_option_is_asked_for() -> None:
    """Without it nothing starts."""
    for missing in ("input_format", "output", "output_format"):
        with pytest.raises(ValueError, match=f"expected --{missing}="):
            parse([argument for argument in MINIMAL if not argument.startswith(f"--{missing}=")])


def test_a_misspelled_option_is_told_before_what_is_missing_for_it() -> None:
    """--input_format was meant."""
    with pytest.raises(ValueError, match="unknown option '--input_fromat'; did you mean --input_format?"):
        parse([*(argument for argument in MINIMAL if "--input_format" not in argument), "--input_fromat=text"])
