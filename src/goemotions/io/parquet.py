"""Parquet files that may be damaged."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow


def read_parquet(content: bytes, columns: list[str]) -> "pyarrow.Table":
    """Some columns of a parquet file, each row of which takes a byte at least.

    pyarrow makes room for as many rows as a damaged footer claims, and `read_table` with filters
    may wait for ever; both were found by fuzzing.

    Raises:
        pyarrow.ArrowException, OSError, ValueError: it is no such file.
    """
    from pyarrow import parquet

    file = parquet.ParquetFile(io.BytesIO(content))
    groups = [file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)]
    rows = file.metadata.num_rows
    if sum(groups) != rows or rows > len(content) or any(number < 0 for number in groups):
        raise ValueError(f"{len(content)} bytes cannot hold {rows} rows in groups of {groups}")
    return file.read(columns)
