from slipway.stack.environment import SERVICES
from slipway.stack.kafka_acls import (
    APPLICATIONS,
    CLIENT_APPLICATIONS,
    Acl,
    Operation,
    Pattern,
    Resource,
    acls_of,
    kafka_user,
    kafka_users,
)
from slipway.topics import TOPICS

ACLS = acls_of()


def users_of(topic: str, operation: Operation) -> set[str]:
    return {
        acl.user
        for acl in ACLS
        if acl.resource is Resource.TOPIC
        and acl.operation is operation
        and (acl.name == topic if acl.pattern is Pattern.LITERAL else topic.startswith(acl.name))
    }


def test_the_lists_are_the_topic_table() -> None:
    for topic in TOPICS:
        assert users_of(topic.name, Operation.WRITE) == {kafka_user(party) for party in topic.writers}
        assert users_of(topic.name, Operation.READ) == {kafka_user(party) for party in topic.readers}
        assert users_of(topic.name, Operation.CREATE) == set()


def test_routes_are_written_by_the_rollout_service_alone() -> None:
    assert users_of("routes", Operation.WRITE) == {"rollout"}


def test_every_party_is_a_service_or_a_client_application() -> None:
    assert set(kafka_users()) <= {*SERVICES, APPLICATIONS}
    assert kafka_user(CLIENT_APPLICATIONS) == APPLICATIONS


def test_nobody_joins_the_groups_of_another() -> None:
    groups = {acl.user: acl.name for acl in ACLS if acl.resource is Resource.GROUP}
    assert set(groups) == set(kafka_users())
    for user, prefix in groups.items():
        taken = {it for it, other in groups.items() if other.startswith(prefix)}
        assert taken == {user}, f"{user} may join the groups of {taken}"


def test_a_reply_topic_is_open_to_the_jobs_service() -> None:
    answer = Acl(user="jobs", resource=Resource.TOPIC, name="answers", operation=Operation.WRITE)
    assert acls_of(reply_topics=["answers"]) - ACLS == {answer}
