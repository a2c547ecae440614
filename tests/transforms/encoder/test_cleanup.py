import pytest

from transforms.encoder.cleanup import clean

TEXT = " a \t b\\n\nc "


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("disabled", TEXT),
        ("inplace", " a   b\\n c "),
        ("inplace_full", " a   b  c "),
        ("shrink", "a b\\n c"),
        ("shrink_full", "a b  c"),
        ("each", " a  b\\n\nc "),
        ("each_full", " a  b\\n\nc "),
        ("delete_full", "abc"),
    ],
)
def test_each_mode_does_what_the_reference_system_does(mode: str, expected: str) -> None:
    """The modes of DocumentAssembler, on white space real and written out."""
    assert clean(TEXT, mode) == expected
