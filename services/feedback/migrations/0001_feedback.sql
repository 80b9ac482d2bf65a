-- One served request. Its position in the topic tells a second physical record from a second reading.
CREATE TABLE predictions (
    prediction_id text PRIMARY KEY, -- UUIDv7: the key's order is the order in time
    tenant text NOT NULL,
    principal text NOT NULL,
    model text NOT NULL,
    version text NOT NULL,
    digest text NOT NULL,
    arm text NOT NULL,
    route_epoch bigint NOT NULL,
    business_key text NOT NULL,
    key_digest bytea, -- names (owner, model, business key); NULL without a key
    row_count integer NOT NULL,
    served_at timestamptz NOT NULL,
    keep_until timestamptz NOT NULL,
    source_partition integer NOT NULL,
    source_offset bigint NOT NULL
);
CREATE INDEX predictions_by_key ON predictions (key_digest, served_at DESC) WHERE key_digest IS NOT NULL;
CREATE INDEX predictions_by_model ON predictions (model);
CREATE INDEX predictions_to_prune ON predictions (keep_until);

CREATE TABLE prediction_doubles (
    prediction_id text NOT NULL REFERENCES predictions ON DELETE CASCADE,
    source_partition integer NOT NULL,
    source_offset bigint NOT NULL,
    PRIMARY KEY (prediction_id, source_partition, source_offset)
);

-- One row of a request: what was answered, and what became of it.
CREATE TABLE prediction_rows (
    prediction_id text NOT NULL,
    row_index integer NOT NULL,
    model text NOT NULL,
    predicted text NOT NULL,
    probabilities double precision[] NOT NULL,
    inputs bytea NOT NULL, -- slipway.v1.Payload with this row's input tensors only
    state text NOT NULL CHECK (state IN ('PENDING', 'MATCHED', 'RETRACTED', 'EXPIRED')),
    label text NOT NULL DEFAULT '',
    source text NOT NULL DEFAULT '',
    revision integer NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (prediction_id, row_index)
);
CREATE INDEX prediction_rows_by_state ON prediction_rows (model, state);
CREATE INDEX prediction_rows_to_expire ON prediction_rows (expires_at) WHERE state = 'PENDING';

-- Feedback that was taken, by identity: the second delivery finds itself here.
CREATE TABLE feedback_events (
    identity bytea PRIMARY KEY,
    received_at timestamptz NOT NULL
);
CREATE INDEX feedback_events_to_prune ON feedback_events (received_at);

-- What was said beside labels.
CREATE TABLE feedback_signals (
    identity bytea PRIMARY KEY,
    prediction_id text NOT NULL,
    row_index integer NOT NULL,
    model text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('accepted', 'rating', 'business_value')),
    value double precision NOT NULL, -- accepted: 1 or 0
    source text NOT NULL,
    received_at timestamptz NOT NULL
);
CREATE INDEX feedback_signals_to_prune ON feedback_signals (received_at);

-- Early feedback with a valid token, waiting for its prediction's record.
CREATE TABLE parked (
    arrival bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- order of arrival
    subject bytea NOT NULL,
    tenant text NOT NULL,
    principal text NOT NULL,
    model text NOT NULL,
    message bytea NOT NULL, -- slipway.v1.FeedbackReceived
    event_id text NOT NULL,
    received_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    source_topic text NOT NULL,
    source_partition integer NOT NULL,
    source_offset bigint NOT NULL,
    source_timestamp_ms bigint NOT NULL
);
CREATE INDEX parked_by_subject ON parked (subject);
CREATE INDEX parked_by_tenant ON parked (tenant);
CREATE INDEX parked_to_expire ON parked (expires_at);

-- Well-formed feedback that could not be believed, kept apart for people.
CREATE TABLE quarantine (
    source_topic text NOT NULL,
    source_partition integer NOT NULL,
    source_offset bigint NOT NULL,
    source_timestamp_ms bigint NOT NULL, -- offsets start again when a topic is made anew
    reason text NOT NULL,
    detail text NOT NULL,
    model text NOT NULL, -- empty where it is not known
    payload text NOT NULL, -- the message in protobuf's text format, cut when long
    headers jsonb NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (source_topic, source_partition, source_offset, source_timestamp_ms)
);
CREATE INDEX quarantine_by_reason ON quarantine (model, reason);
CREATE INDEX quarantine_to_prune ON quarantine (received_at);

CREATE TABLE outbox (
    id bigserial PRIMARY KEY,
    topic text NOT NULL,
    key text NOT NULL,
    value bytea NOT NULL,
    headers jsonb NOT NULL
);
