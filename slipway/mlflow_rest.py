"""MLflow's REST API: the calls the registry needs, each with a deadline, failures as SlipwayErrors.

Source: MLflow documentation, "REST API", and "Artifact Stores / proxied artifact access" for files.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import orjson
import requests

from slipway.errors import Conflict, InvalidInput, NotFound, SlipwayError, Unavailable
from slipway.secret_text import secret_text

_CALL_DEADLINE_S: Final = (3.0, 30.0)  # to connect, then for each read
_FILE_DEADLINE_S: Final = (3.0, 120.0)
_MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
_PART_BYTES: Final = 1024 * 1024
_PROXIED: Final = "mlflow-artifacts"
_PASSWORD_FILE: Final = "password_file"
USER: Final = "slipway"
_ERRORS: Final[dict[str, type[SlipwayError]]] = {
    "RESOURCE_DOES_NOT_EXIST": NotFound,
    "NOT_FOUND": NotFound,
    "ENDPOINT_NOT_FOUND": NotFound,
    "RESOURCE_ALREADY_EXISTS": Conflict,
    "INVALID_PARAMETER_VALUE": InvalidInput,
    "BAD_REQUEST": InvalidInput,
    "INVALID_STATE": InvalidInput,
}


def mlflow_url(address: str, *, password_file: Path) -> str:
    """`SLIPWAY_MLFLOW_URL` of a server that asks for a password."""
    return f"http://{USER}@{address}?" + urlencode({_PASSWORD_FILE: str(password_file)})


class MlflowRest:
    """One tracking server with proxied artifacts."""

    def __init__(self, url: str) -> None:
        """Args: `url` is `http://HOST:PORT`, or `http://USER@HOST:PORT?password_file=PATH`.

        Raises:
            InvalidInput: It has another form.
            NotFound: There is no password.
        """
        self._url, user, password_file = _parsed(url)
        self._session = requests.Session()
        if user:
            self._session.auth = (user, secret_text(Path(password_file)))

    def get(self, call: str, parameters: Mapping[str, str]) -> Any:
        """A reading call, e.g. `get("runs/get", {"run_id": ...})`.

        Raises:
            NotFound: The thing named does not exist.
            Unavailable: The server is away, or broken.
        """
        return orjson.loads(self._send("GET", f"mlflow/{call}", params=dict(parameters)))

    def post(self, call: str, body: Mapping[str, Any]) -> Any:
        """A writing call; not tried again here, since it may have been done.

        Raises:
            Conflict: It exists already.
            InvalidInput: The server refuses a value.
        """
        headers = {"content-type": "application/json"}
        answer = self._send("POST", f"mlflow/{call}", data=orjson.dumps(body), headers=headers)
        return orjson.loads(answer or b"{}")

    def upload(self, uri: str, content: bytes) -> None:
        """Store one file below a run's artifact URI."""
        self._send("PUT", _path(uri), data=content, timeout=_FILE_DEADLINE_S)

    def download(self, uri: str, *, max_bytes: int) -> bytes:
        """Read one file.

        Raises:
            NotFound: No such file.
            InvalidInput: It is larger.
        """
        return self._send("GET", _path(uri), timeout=_FILE_DEADLINE_S, max_bytes=max_bytes)

    def _send(self, method: str, path: str, *, max_bytes: int = _MAX_ANSWER_BYTES, **options: Any) -> bytes:
        options.setdefault("timeout", _CALL_DEADLINE_S)
        try:
            with self._session.request(
                method, f"{self._url}/api/2.0/{path}", stream=True, **options
            ) as response:
                content = _bounded(response, max_bytes, path)
        except requests.RequestException as error:
            raise Unavailable(f"registry {self._url} does not answer: {error}") from error
        if response.ok:
            return content
        raise _error(response, path, content)


def _path(uri: str) -> str:
    """Where the server proxies the file of an artifact URI, `mlflow-artifacts:/1/<run>/artifacts/<file>`."""
    parts = urlsplit(uri)
    if parts.scheme != _PROXIED:
        raise InvalidInput(
            f"registry: artifacts are kept at {uri}, not behind the server; start it with --serve-artifacts"
        )
    return f"mlflow-artifacts/artifacts/{quote(parts.path.lstrip('/'))}"


def _bounded(response: requests.Response, max_bytes: int, path: str) -> bytes:
    content = bytearray()
    for part in response.iter_content(_PART_BYTES):
        content += part
        if len(content) > max_bytes:
            raise InvalidInput(f"registry: {path.split('?')[0]} is larger than {max_bytes} bytes")
    return bytes(content)


def _error(response: requests.Response, path: str, content: bytes) -> SlipwayError:
    try:
        said = orjson.loads(content)
        code, message = str(said["error_code"]), str(said["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        code, message = str(response.status_code), content[:200].decode("utf-8", "replace")
    fallback = NotFound if response.status_code == requests.codes.not_found else Unavailable
    return _ERRORS.get(code, fallback)(f"registry: {path.split('?')[0]}: {message} ({code})")


def quoted(text: str) -> str:
    """A text inside MLflow's single quotes, which know no escape.

    Raises:
        InvalidInput: It has a quote in it.
    """
    if "'" in text:
        raise InvalidInput(f"registry: {text!r} contains a quote")
    return text


def pairs(texts: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags or parameters as MLflow lists them."""
    return [{"key": key, "value": value} for key, value in texts.items()]


def _parsed(url: str) -> tuple[str, str, str]:
    """The server's bare address, the user, and where his password is; "" where it asks nobody."""
    parts = urlsplit(url)
    given = parse_qs(parts.query)
    user, file = parts.username or "", given.get(_PASSWORD_FILE, [""])[-1]
    if parts.password or given.keys() - {_PASSWORD_FILE} or bool(user) != bool(file):
        # The value may hold a password: it is not repeated.
        raise InvalidInput(
            "SLIPWAY_MLFLOW_URL is neither http://HOST:PORT nor "
            f"http://USER@HOST:PORT?{_PASSWORD_FILE}=PATH: a password stands in its file alone"
        )
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl().rstrip("/"), user, file
