"""Spill: keeps the dead letters that their own sink rejects, so that their messages may be acknowledged."""

import json
import logging
import os
from typing import Any

from apache_beam.io.filesystems import FileSystems

from transforms.counters import Counters
from transforms.io.disk import is_local, whole_file

_log = logging.getLogger(__name__)


class LetterRefused(RuntimeError):
    """A dead letter could be kept nowhere, so its bundle must fail and its message must come again."""


class Spill:
    """A folder of JSON files, one for each dead letter that its sink rejected; the letter of a retry has the same name.

    `python -m pipeline.replay --letters_format=jsonl` reads them. They are counted ("dead_letters_spilled").

    Args:
        folder: a local folder or an address such as gs://bucket/folder; "" for none.

    Attributes:
        is_open: whether there is a folder.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.is_open = bool(folder)
        self._counters = Counters()

    def keep(self, row: dict[str, Any], sink: str, reason: str) -> None:
        """Writes the row of a dead letter, which `sink` rejected for `reason`.

        Raises:
            LetterRefused: if there is no folder.
            OSError: if the file cannot be written.
        """
        name = f"{row['id']}-{row['part']}.jsonl"
        if not self._folder:
            raise LetterRefused(
                f"{sink} refused the dead letter {row['id']} of {row['stage']}: {reason[:300]}; "
                "fix the sink, or name a folder for such letters with spill_dir"
            )
        line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
        if is_local(self._folder):
            os.makedirs(self._folder, exist_ok=True)
        with whole_file(self._folder, name) as part, FileSystems.create(part) as file:
            file.write(line)
        self._counters.count("dead_letters_spilled")
        _log.error("%s refused the dead letter %s: %s; it is in %s", sink, row["id"], reason[:300], self._folder)
