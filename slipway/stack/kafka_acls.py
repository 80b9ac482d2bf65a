"""Who may do what in Kafka: the topic table as access control lists. What is not listed is refused."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from slipway.topics import TOPICS, Topic

CLIENT_APPLICATIONS: Final = "client applications"
"""As the topic table calls them; each publishes its feedback as a user of its own."""
APPLICATIONS: Final = "applications"
"""The Kafka user that stands for all of them until each has its own."""
GROUP_PREFIX: Final = "slipway."
_DRIFT: Final = "drift_detection"


class Resource(IntEnum):
    """Kafka's ResourceType."""

    TOPIC = 2
    GROUP = 3


class Pattern(IntEnum):
    """Kafka's PatternType."""

    LITERAL = 3
    PREFIXED = 4


class Operation(IntEnum):
    """Kafka's AclOperation."""

    READ = 3
    WRITE = 4
    CREATE = 5
    DESCRIBE_CONFIGS = 10


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Acl:
    """One permission of one user."""

    user: str
    resource: Resource
    name: str
    operation: Operation
    pattern: Pattern = Pattern.LITERAL


def kafka_user(party: str) -> str:
    """The user of a party of the topic table."""
    return APPLICATIONS if party == CLIENT_APPLICATIONS else party


def kafka_users(topics: Iterable[Topic] = TOPICS) -> tuple[str, ...]:
    """Every user that the table names, sorted."""
    return tuple(
        sorted({kafka_user(party) for topic in topics for party in (*topic.writers, *topic.readers)})
    )


def acls_of(topics: Iterable[Topic] = TOPICS, *, reply_topics: Iterable[str] = ()) -> frozenset[Acl]:
    """Every permission there is: to read and write what the table says, and a user's own consumer groups.

    Args:
        topics: The topic table.
        reply_topics: Topics of others to which the jobs service may answer.
    """
    table = tuple(topics)
    wanted = {_topic(party, topic.name, Operation.WRITE) for topic in table for party in topic.writers}
    wanted |= {_topic(party, topic.name, Operation.READ) for topic in table for party in topic.readers}
    wanted |= {_topic("jobs", name, Operation.WRITE) for name in reply_topics}
    wanted |= {
        Acl(
            user=user,
            resource=Resource.GROUP,
            name=GROUP_PREFIX + user,
            operation=Operation.READ,
            pattern=Pattern.PREFIXED,
        )
        for user in kafka_users(table)
    }
    return frozenset(wanted | _changelogs())


def _topic(party: str, name: str, operation: Operation) -> Acl:
    return Acl(user=kafka_user(party), resource=Resource.TOPIC, name=name, operation=operation)


def _changelogs() -> set[Acl]:
    # Faust keeps its tables in topics that it makes itself, named for its application.
    operations = (Operation.READ, Operation.WRITE, Operation.CREATE, Operation.DESCRIBE_CONFIGS)
    return {
        Acl(
            user=_DRIFT,
            resource=Resource.TOPIC,
            name=GROUP_PREFIX + _DRIFT,
            operation=operation,
            pattern=Pattern.PREFIXED,
        )
        for operation in operations
    }
