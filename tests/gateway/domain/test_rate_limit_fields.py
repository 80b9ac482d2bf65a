from services.gateway.domain.rate_limit_fields import Standing, fields_of, policy_member


def test_fields_have_the_form_of_the_draft() -> None:
    burst = policy_member("each-app", value=100, unit="requests", window_s=2)
    daily = policy_member("daily", value=5000, unit="rows", window_s=86400)
    standings = [
        Standing(policy=burst, name="each-app", left=99, reset_s=0.01),
        Standing(policy=daily, name="daily", left=-3, reset_s=None),
    ]
    assert fields_of(standings) == (
        ("ratelimit-policy", '"each-app";q=100;w=2, "daily";q=5000;qu="rows";w=86400'),
        ("ratelimit", '"each-app";r=99;t=1, "daily";r=0'),
    )


def test_without_limits_there_is_nothing_to_tell() -> None:
    assert fields_of([]) == ()


def test_a_cap_has_no_window() -> None:
    assert policy_member("cap", value=2, unit="concurrent-requests", window_s=None) == (
        '"cap";q=2;qu="concurrent-requests"'
    )
