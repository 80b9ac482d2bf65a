"""What a model file is, told by its content and never by its name.

Accepted are formats that hold data. Whatever can run code while it is read (pickle and all that wraps
it, Keras) is refused, and so is a file that is two things at once: one reader would see the harmless
half, another one the other.
"""

import io
import pickletools
import zipfile
from enum import StrEnum
from typing import Final

import orjson

from slipway.errors import InvalidInput

MAX_MODEL_BYTES: Final = 256 * 1024 * 1024
_MAX_UNPACKED_BYTES: Final = 1024 * 1024 * 1024
_MAX_MEMBERS: Final = 10_000
_SKOPS_SCHEMA: Final = "schema.json"
_SKOPS_MEMBERS: Final = (".npy", ".npz")
_MAX_HEADER_BYTES: Final = 100 * 1024 * 1024
_ONNX_FIELDS: Final = frozenset((1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26))  # of ModelProto, onnx 1.23
_PICKLE_WAYS: Final = (
    "a pickle runs whatever code its author wrote into it. Save the model as ONNX "
    "(skl2onnx, torch.onnx.export, tf2onnx), or a scikit-learn model with skops: "
    "`skops.io.dump(model, 'model.skops')`"
)
_COMPRESSED: Final = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x5d\x00\x00", b"\x04\x22\x4d\x18", b"ZF")
_ZLIB_LEVELS: Final = (0x01, 0x5E, 0x9C, 0xDA)


class ModelFormat(StrEnum):
    """Formats that can be registered; all are served as ONNX."""

    ONNX = "ONNX"
    SKOPS = "skops"
    XGBOOST = "XGBoost"
    LIGHTGBM = "LightGBM"


def identify(content: bytes) -> ModelFormat:
    """The format of a model file.

    What is returned is only what the file claims to be; the format's own reader decides in a sandbox.

    Raises:
        InvalidInput: It is too large, of a format that is not accepted, or of two at once; says what to
            do instead.
    """
    if not content:
        raise InvalidInput("the model file is empty")
    if len(content) > MAX_MODEL_BYTES:
        raise InvalidInput(f"the model has {len(content)} bytes, at most {MAX_MODEL_BYTES} are accepted")
    if content.startswith(b"PK\x03\x04"):
        return _archive(content)
    _refuse_known(content)
    if zipfile.is_zipfile(io.BytesIO(content)):
        raise InvalidInput("the file is a zip archive behind other content: two files in one are refused")
    if content.startswith(b"tree\n") and b"\nversion=" in content[:200]:
        return ModelFormat.LIGHTGBM
    if content.startswith(b"{"):
        return _booster(content)
    if _looks_like_onnx(content):
        return ModelFormat.ONNX
    raise InvalidInput(
        "the file is none of the accepted formats (ONNX, skops, XGBoost JSON or UBJ, LightGBM text); "
        "export the model as ONNX"
    )


def _refuse_known(content: bytes) -> None:
    if content[:1] == b"\x80" and content[1:2] in b"\x02\x03\x04\x05":
        raise InvalidInput(f"the file is a pickle: {_PICKLE_WAYS}")
    if content.startswith(_COMPRESSED) or (
        content[0] == 0x78 and content[1:2] and content[1] in _ZLIB_LEVELS
    ):
        raise InvalidInput(f"the file is compressed, as joblib does it with pickles: {_PICKLE_WAYS}")
    if content.startswith(b"\x89HDF\r\n\x1a\n"):
        raise InvalidInput(
            "the file is HDF5, as Keras writes it: its layers may hold code. Export it as ONNX with tf2onnx"
        )
    if _is_safetensors(content):
        raise InvalidInput(
            "the file is safetensors: it holds weights and no computation. Export the model as ONNX, "
            "weights inside (torch.onnx.export)"
        )
    if content.startswith(b"ORTM", 4):
        raise InvalidInput(
            "the file is in ONNX Runtime's own format, which is not checked; register the ONNX"
        )
    if _is_text_pickle(content):
        raise InvalidInput(f"the file is a pickle of an old protocol: {_PICKLE_WAYS}")


def _archive(content: bytes) -> ModelFormat:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members, has_comment, start = archive.infolist(), bool(archive.comment), archive.start_dir
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InvalidInput(f"the file begins as a zip archive and is none: {error}") from error
    names = [member.filename for member in members]
    if any(name.endswith(("data.pkl", ".pkl", ".pickle")) for name in names):
        raise InvalidInput(f"the file is a PyTorch archive with a pickle inside: {_PICKLE_WAYS}")
    if "config.json" in names and any(name.endswith(".h5") for name in names):
        raise InvalidInput("the file is a Keras archive: its layers may hold code. Export it with tf2onnx")
    if _SKOPS_SCHEMA not in names:
        raise InvalidInput(f"the file is a zip archive that is no skops file ({', '.join(names[:3])})")
    _check_archive(content, members, has_comment=has_comment, start_bytes=start)
    return ModelFormat.SKOPS


def _check_archive(
    content: bytes, members: list[zipfile.ZipInfo], *, has_comment: bool, start_bytes: int
) -> None:
    """The archive is all of the file, names each member once, and unpacks to a bounded size."""
    names = [member.filename for member in members]
    strange = [n for n in names if n != _SKOPS_SCHEMA and not n.endswith(_SKOPS_MEMBERS)]
    if strange or len(set(names)) != len(names):
        raise InvalidInput(f"skops file: member {(strange or names)[0]!r} does not belong there")
    if min(member.header_offset for member in members) != 0 or has_comment:
        raise InvalidInput("skops file: other content stands before or behind the archive; save it anew")
    end_bytes = content.rfind(b"PK\x05\x06")
    if end_bytes + 22 != len(content) or start_bytes > end_bytes:
        raise InvalidInput("skops file: other content stands behind the archive; save it anew")
    unpacked = sum(member.file_size for member in members)
    if len(members) > _MAX_MEMBERS or unpacked > _MAX_UNPACKED_BYTES:
        raise InvalidInput(
            f"skops file: {len(members)} members unpack to {unpacked} bytes, at most {_MAX_UNPACKED_BYTES}"
        )


def _booster(content: bytes) -> ModelFormat:
    """XGBoost writes an object with the key `learner`, as JSON or as Universal Binary JSON."""
    head = content[:64]
    if head[1:2] in b"LlUiI" and b"learner" in head:
        return ModelFormat.XGBOOST
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the file begins as JSON and is none: {error}") from error
    if isinstance(document, dict) and {"learner", "version"} <= document.keys():
        return ModelFormat.XGBOOST
    raise InvalidInput("the file is JSON, but not as XGBoost's save_model('model.json') writes it")


def _is_safetensors(content: bytes) -> bool:
    header_bytes = int.from_bytes(content[:8], "little")
    return content[8:9] == b"{" and 2 <= header_bytes <= min(_MAX_HEADER_BYTES, len(content) - 8)


def _is_text_pickle(content: bytes) -> bool:
    """Whether the whole beginning reads as a pickle without a protocol mark (0 and 1)."""
    if content[:1] not in (b"(", b"]", b"}", b"c", b"i", b"V", b"S", b"I", b"F", b"N", b"l", b"d"):
        return False
    try:
        for at, (opcode, _, _) in enumerate(pickletools.genops(io.BytesIO(content))):
            if opcode.name == "STOP":
                return at > 0
            if at > _MAX_MEMBERS:
                return True
    except (ValueError, IndexError, UnicodeDecodeError, OverflowError):
        return False
    return False


def _looks_like_onnx(content: bytes) -> bool:
    """Whether the first field is one of ModelProto's, with the wire type it must have."""
    field, wire_type = content[0] >> 3, content[0] & 7
    return field in _ONNX_FIELDS and wire_type in (0, 2) and len(content) > 16
