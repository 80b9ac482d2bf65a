"""Publish feedback straight to Kafka: JSON, aiokafka, and nothing of Slipway.

    pip install aiokafka
    python publish_feedback.py PREDICTION_ID FEEDBACK_TOKEN --label 1
    python publish_feedback.py PREDICTION_ID FEEDBACK_TOKEN --label 0        # a correction
    python publish_feedback.py PREDICTION_ID FEEDBACK_TOKEN --retract        # no label after all

Kafka's user, its password's file and the certificate authority come from whoever runs Slipway; in the
local stack they are `applications`, `$SLIPWAY_HOME/secrets/kafka_applications.password` and
`$SLIPWAY_HOME/certificates/ca.pem`. The id and the token are the parameters `slipway_prediction_id` and
`slipway_feedback_token` of the answer.
"""

import argparse
import asyncio
import json
import os
import ssl
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer


def feedback(
    prediction_id: str, token: str, *, row: int = 0, source: str = "", **content: Any
) -> dict[str, Any]:
    """One message: about which row, with which proof, saying exactly one thing."""
    return {
        "predictionId": prediction_id,
        "feedbackToken": token,
        "row": row,
        "source": source,
        "observedAt": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        **content,
    }


def access(bootstrap: str, *, user: str, password_file: Path, ca_file: Path) -> dict[str, Any]:
    """How a client gets in: SCRAM inside TLS."""
    return {
        "bootstrap_servers": bootstrap,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": user,
        "sasl_plain_password": password_file.read_text().strip(),
        "ssl_context": ssl.create_default_context(cafile=ca_file),
    }


async def publish(broker: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    """Send messages and wait until every one is acknowledged by all replicas."""
    producer = AIOKafkaProducer(**broker, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for message in messages:
            await producer.send_and_wait(
                "feedback",
                json.dumps(message).encode(),
                # All feedback about a prediction goes to one partition, so it stays in order.
                key=message["predictionId"].encode(),
                headers=[
                    ("content-type", b"application/json"),
                    # Your id for this statement: after a failure send it again with the same id.
                    ("ce_id", str(uuid.uuid4()).encode()),
                ],
            )
    finally:
        await producer.stop()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prediction_id")
    parser.add_argument("token")
    home = Path(os.environ.get("SLIPWAY_HOME", "/var/lib/slipway"))
    parser.add_argument("--bootstrap", default="127.0.0.1:19092")
    parser.add_argument("--user", default="applications")
    parser.add_argument(
        "--password-file", type=Path, default=home / "secrets" / "kafka_applications.password"
    )
    parser.add_argument("--ca-file", type=Path, default=home / "certificates" / "ca.pem")
    parser.add_argument("--row", type=int, default=0)
    parser.add_argument("--source", default="publish_feedback.py")
    says = parser.add_mutually_exclusive_group(required=True)
    says.add_argument("--label", help="the true class, or the true number")
    says.add_argument("--retract", action="store_true", help="withdraw the label")
    given = parser.parse_args()
    content: dict[str, Any] = {"retract": True} if given.retract else {"label": given.label}
    message = feedback(given.prediction_id, given.token, row=given.row, source=given.source, **content)
    broker = access(
        given.bootstrap, user=given.user, password_file=given.password_file, ca_file=given.ca_file
    )
    asyncio.run(publish(broker, [message]))


if __name__ == "__main__":
    main()
