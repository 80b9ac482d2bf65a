-- One row for each caller of each model: what is remembered of its questions.
CREATE TABLE callers (
    tenant text NOT NULL,
    principal text NOT NULL,
    model text NOT NULL,
    state bytea NOT NULL,
    counts jsonb NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, principal, model)
);
CREATE INDEX callers_by_model ON callers (model, last_at DESC);
CREATE INDEX callers_by_age ON callers (last_at);

-- Who is suspected now; gone when an operator has cleared it.
CREATE TABLE suspects (
    tenant text NOT NULL,
    principal text NOT NULL,
    model text NOT NULL,
    alarm_id text NOT NULL UNIQUE,
    alarm bytea NOT NULL,
    PRIMARY KEY (tenant, principal, model)
);

-- How far each partition has been counted; moves in the transaction that counts.
CREATE TABLE positions (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

CREATE TABLE outbox (
    id bigserial PRIMARY KEY,
    topic text NOT NULL,
    key text NOT NULL,
    value bytea NOT NULL,
    headers jsonb NOT NULL
);
