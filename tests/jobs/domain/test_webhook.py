import base64

from services.jobs.domain.webhook import headers, secret_of, text_of


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
