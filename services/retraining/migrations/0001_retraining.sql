-- Labelled rows. A label that is NULL marks a retracted row: the tombstone stays, what it said is gone.
CREATE TABLE examples (
    model text NOT NULL,
    prediction_id text NOT NULL,
    row_index integer NOT NULL,
    revision bigint NOT NULL,
    label text,
    numbers bytea,          -- numeric features in the order of the spec, float32 little-endian
    texts text[],           -- categorical features in the order of the spec
    version text NOT NULL,  -- that answered; empty for a dataset
    source text NOT NULL,   -- who labelled it, or dataset:<SHA-256>
    era integer NOT NULL,   -- place of a dataset, 2147483647 for served rows
    served_at double precision NOT NULL, -- seconds since the epoch
    arrival bigserial NOT NULL,
    PRIMARY KEY (model, prediction_id, row_index)
);
CREATE INDEX examples_in_order ON examples (model, era, served_at, prediction_id, row_index);

CREATE TABLE datasets (
    model text NOT NULL,
    dataset_id text NOT NULL, -- SHA-256 of the Parquet bytes
    name text NOT NULL,
    era integer NOT NULL,
    rows integer NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model, dataset_id),
    UNIQUE (model, era)
);

-- Which offsets of `labels` are in `examples`.
CREATE TABLE label_offsets (
    model text NOT NULL,
    partition integer NOT NULL,
    first_offset bigint NOT NULL,
    last_offset bigint NOT NULL,
    PRIMARY KEY (model, partition)
);

CREATE TABLE champions (
    model text PRIMARY KEY,
    version text NOT NULL,
    seq bigint NOT NULL
);

CREATE TABLE jobs (
    request_id text PRIMARY KEY,
    seq bigserial NOT NULL,
    model text NOT NULL,
    tenant text NOT NULL,
    request bytea NOT NULL,         -- RetrainRequested
    state text NOT NULL CHECK (state IN ('QUEUED', 'RUNNING', 'BLESSED', 'REJECTED', 'INSUFFICIENT')),
    attempts integer NOT NULL DEFAULT 0,
    accepted_at timestamptz NOT NULL DEFAULT now(),
    decided_at timestamptz,
    reason text NOT NULL DEFAULT '',
    outcome bytea                   -- the CandidateBlessed, ...Rejected or ...Insufficient
);
CREATE INDEX jobs_open ON jobs (seq) WHERE state IN ('QUEUED', 'RUNNING');
CREATE INDEX jobs_of_model ON jobs (model, seq);

CREATE TABLE outbox (
    id bigserial PRIMARY KEY,
    topic text NOT NULL,
    key text NOT NULL,
    value bytea NOT NULL,
    headers jsonb NOT NULL
);
