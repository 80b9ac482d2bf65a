"""JSON logs on standard output: one object a line."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}


class JsonFormatter(logging.Formatter):
    """Time, level, service, logger, message, and whatever came in `extra`."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object for one record."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update({k: v for k, v in record.__dict__.items() if k not in _STANDARD})
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return orjson.dumps(entry, default=str).decode()


class Seldom(logging.Filter):
    """Lets each message of a library through once per `every_s`: without a broker, aiokafka says the
    same thing a thousand times a second."""

    def __init__(self, library: str, *, every_s: float) -> None:
        super().__init__()
        self._library = library
        self._every_s = every_s
        self._last_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this record is written; the message's template tells messages apart."""
        if not record.name.startswith(self._library):
            return True
        template = f"{record.name} {record.msg}"
        if record.created - self._last_s.get(template, -self._every_s) < self._every_s:
            return False
        self._last_s[template] = record.created
        return True


def configure(service: str, *, level: str) -> None:
    """Send all logs of this process to standard output as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service))
    handler.addFilter(Seldom("aiokafka", every_s=5.0))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("aiokafka", "uvicorn.access", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
