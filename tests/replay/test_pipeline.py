from slipway.replay.pipeline import groups_of, readers_by_topic


def test_a_replay_waits_for_the_loop_and_for_nobody_else() -> None:
    waited = readers_by_topic()
    assert waited["predictions"] == ("feedback", "drift_detection", "rollout")
    assert set(waited) == {
        "predictions",
        "shadow_predictions",
        "feedback",
        "labels",
        "drift_blocks",
        "drift_alarms",
        "retrain_requests",
        "candidates",
        "rollout_events",
    }


def test_a_group_reads_all_topics_or_one() -> None:
    assert groups_of("rollout", "predictions") == ("slipway.rollout", "slipway.rollout.predictions")
