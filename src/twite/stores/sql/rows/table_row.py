"""The base of the structs of rows in `tables.py`."""

import re
from enum import Enum
from typing import ClassVar, Final

import msgspec

_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")


class OnConflict(Enum):
    """What an insertion does with a row of the same key."""

    FAIL = 0
    REPLACE = 1
    ADD = 2  # adds the counts, which are the columns of type int, and replaces the others if known


class TableRow(msgspec.Struct, gc=False):
    """A row. The first `key_columns` columns are the key of the table."""

    key_columns: ClassVar[int] = 1
    on_conflict: ClassVar[OnConflict] = OnConflict.FAIL
    # Whether the database assigns the id, which is the first column.
    is_numbered: ClassVar[bool] = False

    @classmethod
    def table(cls) -> str:
        """Return the name of the table: that of the class in lower case, without Row."""
        return _CAPITAL.sub("_", cls.__name__.removesuffix("Row")).lower()
