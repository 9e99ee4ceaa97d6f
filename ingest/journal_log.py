"""The end of the journal's write-ahead log: what SQLite passes over in silence where it is damaged.

SQLite reads its log up to the first frame whose checksum is wrong, since that is what a power cut leaves
behind. Where whole commits stand behind such a frame, the log is damaged, and they are lost. The form of
the log is that of SQLite's file format, section 4.1.
"""

import struct
from pathlib import Path
from typing import NamedTuple

_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_SUMMED_BYTES = 24
_BIG_ENDIAN = 1
"""The last bit of the log's first number: how its checksums are computed."""
_PAGE_SIZES = {1 << bits for bits in range(9, 17)}


class LogEnd(NamedTuple):
    """Which log it is, and which of its frames end a commit, counted from 1."""

    salts: bytes
    commits: list[int]


def log_path(journal: Path) -> Path:
    """Return where a journal's log is."""
    return journal.with_name(f"{journal.name}-wal")


def read_log_end(journal: Path) -> LogEnd:
    """Return the commits that stand in a journal's log, whether or not they can be read."""
    try:
        with log_path(journal).open("rb") as log:
            size = log.seek(0, 2)
            log.seek(0)
            header = log.read(_HEADER_BYTES)
            page_bytes, salts = int.from_bytes(header[8:12]), header[16:24]
            if not _is_whole(header):
                page_bytes, salts = _page_bytes_of(journal), log.read(_FRAME_HEADER_BYTES)[8:16]
            if page_bytes not in _PAGE_SIZES:
                return LogEnd(b"", [])
            commits = []
            frame_bytes = _FRAME_HEADER_BYTES + page_bytes
            for number in range(1, (size - _HEADER_BYTES) // frame_bytes + 1):
                log.seek(_HEADER_BYTES + (number - 1) * frame_bytes)
                frame = log.read(_FRAME_HEADER_BYTES)
                if frame[8:16] == salts and any(frame[4:8]):
                    commits.append(number)
    except OSError:
        return LogEnd(b"", [])
    return LogEnd(salts, commits)


def _is_whole(header: bytes) -> bool:
    if len(header) < _HEADER_BYTES:
        return False
    order = ">" if header[3] & _BIG_ENDIAN else "<"
    first = second = 0
    for one, other in struct.iter_unpack(f"{order}2I", header[:_SUMMED_BYTES]):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return header[_SUMMED_BYTES:] == struct.pack(">2I", first, second)


def _page_bytes_of(journal: Path) -> int:
    with journal.open("rb") as file:
        number = int.from_bytes(file.read(18)[16:])
    return 65_536 if number == 1 else number
