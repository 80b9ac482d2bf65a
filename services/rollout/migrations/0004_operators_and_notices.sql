-- Messages to the receivers of a spec's `rollout.notify`, written in the transaction of what they tell.
CREATE TABLE notices (
    n bigserial PRIMARY KEY,
    id text NOT NULL UNIQUE,
    model text NOT NULL,
    tenant text NOT NULL,
    kind text NOT NULL,
    url text NOT NULL,
    body bytea NOT NULL,
    state text NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'DELIVERED', 'GIVEN_UP')),
    tries int NOT NULL DEFAULT 0,
    reason text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL
);
CREATE INDEX notices_pending ON notices (model, url, n) WHERE state = 'PENDING';
CREATE INDEX notices_by_age ON notices (created_at);

-- Who may command rollouts. The token itself is kept nowhere.
CREATE TABLE operators (
    id bigserial PRIMARY KEY,
    name text NOT NULL,
    token_sha256 bytea NOT NULL UNIQUE,
    roles text[] NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    revoked_at timestamptz
);
CREATE UNIQUE INDEX one_token_a_name ON operators (name) WHERE revoked_at IS NULL;
