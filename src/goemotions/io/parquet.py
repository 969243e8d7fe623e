"""Parquet files that may be damaged."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyarrow import Table
    from pyarrow.parquet import ParquetFile


def open_parquet(content: bytes) -> "ParquetFile":
    """Open a parquet file, each row of which takes at least a byte.

    pyarrow makes room for as many rows as a damaged footer claims, and `read_table` with filters
    may never return; fuzzing showed both. By default, it reads ahead in threads that hold the
    Python object: one of them that is still at work when the process ends makes it end by SIGABRT
    ("terminate called without an active exception"; apache/arrow#34314).

    Raises:
        pyarrow.ArrowException, OSError, ValueError: this is not a parquet file.
    """
    from pyarrow import BufferReader, parquet

    file = parquet.ParquetFile(BufferReader(content), pre_buffer=False)
    groups = [file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)]
    rows = file.metadata.num_rows
    if sum(groups) != rows or rows > len(content) or any(number < 0 for number in groups):
        raise ValueError(f"{len(content)} bytes cannot hold {rows} rows in groups of {groups}")
    return file


def read_parquet(content: bytes, columns: list[str]) -> "Table":
    """Some columns of a parquet file, read without threads, for the reason that open_parquet gives.

    Raises:
        pyarrow.ArrowException, OSError, ValueError: this is not a parquet file that has them.
    """
    return open_parquet(content).read(columns, use_threads=False)
