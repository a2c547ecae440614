import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.fields import ABSENT, Number, Template, find_first, has, remove, take_first, value_of

NAMES = st.text("abc ü-_'", min_size=1, max_size=3)
LEAVES = st.none() | st.booleans() | st.text(max_size=3) | st.just(Number("1.10"))
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))
OBJECTS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=3)


def paths(value: Any, path: str = "") -> dict[str, Any]:
    """Each path into `value`, with what it leads to."""
    found = {path: value} if path else {}
    if isinstance(value, list):
        for index, item in enumerate(value):
            found |= paths(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            found |= paths(item, f"{path}.{name}" if path else name)
    return found


@given(OBJECTS)
def test_every_value_is_found_by_its_path(fields: dict[str, Any]) -> None:
    """Whatever it is, null too."""
    for path, value in paths(fields).items():
        assert value_of(fields, path) is value


@given(OBJECTS)
def test_a_value_that_is_taken_is_gone_and_all_others_stay(fields: dict[str, Any]) -> None:
    """At their paths; and what the caller shares with others is not changed."""
    before = copy.deepcopy(fields)
    for path in paths(fields):
        left = dict(fields)
        remove(left, path)
        assert value_of(left, path) in (ABSENT, None)
        others = {
            other: value
            for other, value in paths(fields).items()
            if not isinstance(value, list | dict) and value is not None and not is_in(other, path)
        }
        assert {other: value_of(left, other) for other in others} == others
    assert fields == before


def is_in(path: str, whole: str) -> bool:
    """Whether a path is `whole` or leads into it."""
    return path == whole or path.startswith((f"{whole}.", f"{whole}["))


@given(OBJECTS, st.text(max_size=8))
def test_any_other_name_leads_nowhere(fields: dict[str, Any], name: str) -> None:
    """Without an error."""
    assert has(fields, name) == (name in paths(fields))


@pytest.mark.parametrize("name", ["a.b", "a[0]", "a[0].c", "", ".", "a..b", "a[-1]", "[0]"])
def test_a_field_of_that_very_name_comes_first(name: str) -> None:
    """Nothing changes for those who have one."""
    fields = {name: 1, "a": {"b": 2}}
    assert value_of(fields, name) == 1
    remove(fields, name)
    assert fields == {"a": {"b": 2}}


@pytest.mark.parametrize("path", ["a.b.c", "a[0]", "a.b[0]", "n.literal", "l.0", "l[1]", "l[-1]", f"l[{'9' * 5000}]"])
def test_a_path_goes_into_objects_and_arrays_only(path: str) -> None:
    """No character of a text, no attribute of a number, and nothing from the end."""
    assert not has({"a": {"b": "text"}, "n": Number("1"), "l": ["x"]}, path)


@pytest.mark.parametrize(
    ("fields", "path", "left"),
    [
        ({"a": {"b": 1}}, "a.b", {}),
        ({"a": {"b": 1, "c": 2}}, "a.b", {"a": {"c": 2}}),
        ({"a": [1, 2]}, "a[0]", {"a": [None, 2]}),
        ({"a": [{"b": 1}]}, "a[0].b", {}),
        ({"a": [{"b": 1}, {"b": 2}]}, "a[1].b", {"a": [{"b": 1}, None]}),
        ({"a": [{"b": 1, "c": None}]}, "a[0].b", {"a": [{"c": None}]}),
    ],
)
def test_what_is_left_of_an_object_or_array(fields: dict[str, Any], path: str, left: dict[str, Any]) -> None:
    """Items keep their places, and what is empty goes."""
    remove(fields, path)
    assert fields == left


def test_the_first_value_that_is_not_empty_is_taken() -> None:
    """Those before it are removed too."""
    first, second = {"a": {"b": ""}, "x": 1}, {"a": {"b": 2}}
    assert find_first((first, "a.b"), (second, "a.b")) == ("a.b", 2)
    assert take_first((first, ""), (first, "a.b"), (second, "a.b")) == ("a.b", 2)
    assert (first, second) == ({"x": 1}, {})


@pytest.mark.parametrize(
    ("template", "fields", "text"),
    [
        ("{title}. {body}", {"title": "Soup", "body": "Cold."}, "Soup. Cold."),
        ("{title}. {body}", {"title": None, "body": "Cold."}, ". Cold."),
        ("{title}. {body}", {"body": "Cold."}, ". Cold."),
        ("{title}. {body}", {"title": None, "body": " "}, ""),
        ("{n}, {b}, {l[0].x}", {"n": Number("1.10"), "b": True, "l": [{"x": "y"}]}, "1.10, true, y"),
        ("{o}", {"o": {"a": [Number("1"), "é"]}}, '{"a": [1, "é"]}'),
        ("{{{a}}}", {"a": "x"}, "{x}"),
        ("{a}{a}", {"a": "x"}, "xx"),
        ("{a b.c}", {"a b": {"c": "x"}}, "x"),
        ("{a}", {"a": "{b}", "b": "x"}, "{b}"),
        ("{a.__class__}", {"a": {"__class__": "x"}}, "x"),
    ],
)  # fmt: skip
def test_a_template_joins_fields(template: str, fields: dict[str, Any], text: str) -> None:
    """Null and what is not there give nothing; values are text, and never templates."""
    assert Template(template).text_of(fields) == text


def test_a_template_of_which_no_field_is_there_is_an_error() -> None:
    """Its names are probably wrong."""
    with pytest.raises(ValueError, match=r"^expected a field of \['title', 'body'\], got \['Body', 'Title'\]"):
        Template("{title}. {body}").text_of({"Title": "x", "Body": "y"})


@pytest.mark.parametrize(
    "template", ["", "title", "{}", "{title", "title}", "{title!r}", "{title:>9}", "{a:{b}}", "{{title}}", "{a!}"]
)
def test_a_template_that_is_none_is_refused(template: str) -> None:
    """In one line."""
    with pytest.raises(ValueError, match="^expected text_template with fields in braces, such as .*, got "):
        Template(template)
