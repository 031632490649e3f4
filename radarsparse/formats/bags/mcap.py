"""MCAP files whatever their recorder left out: profile, message index, summary or the end.

Source: https://mcap.dev/spec.
"""

import importlib
import logging
import os
import re
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from radarsparse.formats.bags.decoding import Cursor
from radarsparse.formats.bags.kinds import ROS1
from radarsparse.formats.content import BYTES_MAX

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

Stored = tuple["Connection", int, bytes]
"""A message with its log time in nanoseconds."""

_MAGIC = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _INDEX = 3, 4, 5, 6, 7
_RECORD, _MESSAGE_HEAD, _CHUNK_HEAD = map(struct.Struct, ("<BQ", "<HIQQ", "<QQQII"))
_INDEX_ENTRY_BYTES = 16

# Python's own or what rosbags brings along.
_ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
_DECOMPRESSORS = {
    "bz2": ("bz2", "BZ2Decompressor"),
    "lz4": ("lz4.frame", "LZ4FrameDecompressor"),
    "zstd": (_ZSTD, "ZstdDecompressor"),
}
# Files whose chunks claim to hold more than as often their bytes are refused.
GROWTH_MAX = 1000

_log = logging.getLogger("radarsparse")


class BagError(Exception):
    """What contradicts itself in a bag, or is not supported."""


def unpack(compression: str, data: bytes, size: int = BYTES_MAX) -> bytes:
    """Unpack what is compressed by a method of this name, or by none.

    Args:
        compression: `bz2`, `lz4` or `zstd`; empty or `none` for none.
        data: the bytes.
        size: how many they may become.

    Raises:
        BagError: they become more, or the size or the method is not supported.
    """
    if size > BYTES_MAX:
        raise BagError(f"a chunk of {size} bytes is not supported; {BYTES_MAX} are")
    if compression in ("", "none"):
        return data
    if compression not in _DECOMPRESSORS:
        raise BagError(f"compression {compression!r} is not supported")
    module, name = _DECOMPRESSORS[compression]
    content = getattr(importlib.import_module(module), name)().decompress(data, size + 1)
    if len(content) > size:
        raise BagError(f"{len(data)} bytes of a chunk unpack to over {size}")
    return content


class McapReader:
    """An open file, for messages in the order of the file; only the counts of chunks are kept.

    Attributes:
        connections: as rosbags' readers have them.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._end = file.seek(0, os.SEEK_END)
        file.seek(max(self._end - len(_MAGIC), 0))
        closed = file.read() == _MAGIC
        file.seek(0)
        if (magic := file.read(len(_MAGIC))) != _MAGIC:
            raise BagError(f"begins with {magic!r}")
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, tuple[int, str, str]] = {}
        # How many messages of each channel the chunk at a place holds.
        self._chunks: dict[int, Counter[int]] = {}
        single = self._scan()
        if closed and file.tell() != self._end - len(_MAGIC):
            raise BagError(f"the record at byte {file.tell()} reaches beyond the end")
        if not closed:
            if not self._chunks and not single:
                raise BagError("ends before its first message")
            _log.warning("%s: its recording was not closed; what is whole of it is read", path)
            if self._chunks:
                self._chunks.popitem()  # its index may be cut off, too
        for operation, place, size in self._records():
            counts = self._chunks.get(place)
            if operation == _CHUNK and (not counts or counts.keys() - self._channels.keys()):
                self._chunks[place] = Counter(key for key, _, _ in self._load(size))
        self.connections = self._describe(sum(self._chunks.values(), single))

    def messages(self, connections: Sequence["Connection"]) -> Iterator[Stored]:
        """Messages of some connections."""
        wanted = {each.id: each for each in connections}
        for operation, place, size in self._records():
            found = [_read_message(self._file, size)] if operation == _MESSAGE else []
            if operation == _CHUNK and self._chunks[place].keys() & wanted.keys():
                found = sorted(self._load(size), key=itemgetter(1))
            for key, log_time_ns, data in found:
                if key in wanted:
                    yield wanted[key], log_time_ns, data

    def _records(self) -> Iterator[tuple[int, int, int]]:
        self._file.seek(len(_MAGIC))
        return _walk(self._file, self._end)

    def _scan(self) -> Counter[int]:
        """Go through the file without its messages; returns how many stand outside of chunks."""
        single, counts, unpacked = Counter[int](), Counter[int](), 0
        for operation, place, size in self._records():
            if operation == _MESSAGE:
                single[_MESSAGE_HEAD.unpack(self._file.read(_MESSAGE_HEAD.size))[0]] += 1
            elif operation == _CHUNK:
                counts = self._chunks[place] = Counter()
                unpacked += _CHUNK_HEAD.unpack(self._file.read(_CHUNK_HEAD.size))[2]
            elif operation == _INDEX:
                key, length = struct.unpack("<HI", self._file.read(6))
                counts[key] += length // _INDEX_ENTRY_BYTES
            elif operation in (_SCHEMA, _CHANNEL):
                self._note(operation, self._file.read(size))
        if unpacked > BYTES_MAX + GROWTH_MAX * self._end:
            raise BagError(f"{unpacked} bytes in chunks of {self._end} are not supported")
        return single

    def _describe(self, counts: Counter[int]) -> list["Connection"]:
        from rosbags import interfaces  # noqa: PLC0415 (an extra)

        definition = interfaces.MessageDefinition(interfaces.MessageDefinitionFormat.NONE, "")
        return [
            interfaces.Connection(
                *(key, topic, self._schemas.get(schema, "without type"), definition, ""),
                *(counts[key], interfaces.ConnectionExtRosbag2(encoding, []), self),
            )
            for key, (schema, topic, encoding) in self._channels.items()
        ]

    def _note(self, operation: int, data: bytes) -> None:
        """Keep what a record says of a schema or a channel."""
        cursor = Cursor(data, ROS1, f"{self._path}: a record")
        key = cursor.number("u2")
        if operation == _SCHEMA:
            self._schemas[key] = re.sub("^([^/]+)/([^/]+)$", r"\1/msg/\2", cursor.text())
        else:
            self._channels[key] = cursor.number("u2"), cursor.text(), cursor.text()

    def _load(self, size: int) -> list[tuple[int, int, bytes]]:
        """The messages of the chunk where the file stands: channels, log times [ns], bytes."""
        content = self._file.read(size)
        cursor = Cursor(content, ROS1, f"{self._path}: a chunk")
        _, _, unpacked_size = (cursor.number("u8") for _ in range(3))
        crc, compression = cursor.number(), cursor.text()
        packed = cursor.array("u1", cursor.number("u8")).tobytes()
        content = unpack(compression, packed, unpacked_size)
        if len(content) != unpacked_size or (crc and zlib.crc32(content) != crc):
            raise BagError(f"a chunk of {unpacked_size} bytes has another size or checksum")
        chunk, messages = BytesIO(content), []
        for operation, _, length in _walk(chunk, unpacked_size):
            if operation == _MESSAGE:
                messages.append(_read_message(chunk, length))
            elif operation in (_SCHEMA, _CHANNEL):
                self._note(operation, chunk.read(length))
        if chunk.tell() != unpacked_size:
            raise BagError(f"the record at byte {chunk.tell()} of a chunk reaches beyond its end")
        return messages


def _walk(file: BinaryIO, end: int) -> Iterator[tuple[int, int, int]]:
    """Operation, place and size of each whole record up to an end, where the file stands then."""
    start = file.tell()
    while start + _RECORD.size <= end:
        operation, size = _RECORD.unpack(file.read(_RECORD.size))
        if size > end - start - _RECORD.size:
            break
        if size > BYTES_MAX and operation in (_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK):
            raise BagError(f"a record of {size} bytes is not supported; {BYTES_MAX} are")
        yield operation, start, size
        start += _RECORD.size + size
        file.seek(start)
    file.seek(start)


def _read_message(file: BinaryIO, size: int) -> tuple[int, int, bytes]:
    key, _, log_time_ns, _ = _MESSAGE_HEAD.unpack(file.read(_MESSAGE_HEAD.size))
    return key, log_time_ns, file.read(max(size - _MESSAGE_HEAD.size, 0))
