-- One row a model: what the decision rests on.
CREATE TABLE models (
    model text PRIMARY KEY,
    state jsonb NOT NULL
);

-- How far each partition has been counted; moves in the transaction that counts.
CREATE TABLE positions (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- What was decided, in words; the newest of each model are kept.
CREATE TABLE decisions (
    id bigserial PRIMARY KEY,
    model text NOT NULL,
    decided_at timestamptz NOT NULL,
    line text NOT NULL
);
CREATE INDEX decisions_by_model ON decisions (model, id DESC);

CREATE TABLE outbox (
    id bigserial PRIMARY KEY,
    topic text NOT NULL,
    key text NOT NULL,
    value bytea NOT NULL,
    headers jsonb NOT NULL
);
