import base64

from slipway.webhook import MOST_TRIES, headers, next_try_s, notice_secret_of, secret_of, text_of


def test_the_signature_is_that_of_the_standards_own_example() -> None:
    # Standard Webhooks, reference implementation: the vector of its test suites.
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    sent = headers(
        secret, b'{"test": 2432232314}', message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", now_s=1614265330.9
    )
    assert sent == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_each_principal_has_a_secret_of_its_own() -> None:
    owners = [("a", "b"), ("a", "c"), ("b", "b"), ("ab", "")]
    secrets = [secret_of(b"master" * 8, tenant=tenant, principal=name) for tenant, name in owners]
    assert len(set(secrets)) == 4
    assert secrets[0] == secret_of(b"master" * 8, tenant="a", principal="b")
    assert text_of(secrets[0]).startswith("whsec_")
    assert base64.b64decode(text_of(secrets[0]).removeprefix("whsec_")) == secrets[0]


def test_the_notices_of_a_model_have_a_secret_that_no_principal_has() -> None:
    master = b"master" * 8
    own = notice_secret_of(master, tenant="a", model="b")
    assert own not in {
        secret_of(master, tenant="a", principal="b"),
        notice_secret_of(master, tenant="", model="ab"),
    }


def test_pauses_double_to_a_bound() -> None:
    pauses = [next_try_s(tries, now_s=0.0, deadline_s=1e9) for tries in range(1, MOST_TRIES)]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_it_ends_by_count_and_by_deadline() -> None:
    assert next_try_s(MOST_TRIES, now_s=0.0, deadline_s=1e9) is None
    assert next_try_s(3, now_s=100.0, deadline_s=104.0) is None
    assert next_try_s(3, now_s=100.0, deadline_s=104.1) == 104.0
