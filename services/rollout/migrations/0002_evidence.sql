-- Beside `tallies`, which has all numbers: what is too large to be written again with every batch.

-- Filters of the units that were counted; a batch writes only the blocks that it changed.
CREATE TABLE evidence_units (
    model text NOT NULL,
    filter text NOT NULL,
    block int NOT NULL,
    bits bytea NOT NULL,
    PRIMARY KEY (model, filter, block)
);

-- Hashes of the newest ids that were counted, 256 in a slot: a record that was sent twice counts once.
CREATE TABLE seen_predictions (
    model text NOT NULL,
    slot int NOT NULL,
    number bigint NOT NULL,
    ids bytea NOT NULL,
    PRIMARY KEY (model, slot)
);

-- One half of a pair that waits for the other: what the shadow answered, or a label that came sooner.
CREATE TABLE shadow_answers (
    model text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('answer', 'label')),
    prediction_id text NOT NULL,
    row int NOT NULL,
    seq bigint NOT NULL,
    said text NOT NULL,
    is_champion_right boolean NOT NULL,
    unit text NOT NULL,
    PRIMARY KEY (model, kind, prediction_id, row)
);
CREATE INDEX shadow_answers_by_age ON shadow_answers (model, kind, seq);

-- Labels and outcomes of requests that are younger than the horizon.
CREATE TABLE held_labels (
    model text NOT NULL,
    seq bigint NOT NULL,
    due_at double precision NOT NULL,
    learned jsonb NOT NULL,
    PRIMARY KEY (model, seq)
);
CREATE INDEX held_labels_by_due ON held_labels (model, due_at, seq);

-- The findings over time, thinned to at most 500 of each rollout.
CREATE TABLE evidence_points (
    model text NOT NULL,
    rollout_id text NOT NULL,
    number bigint NOT NULL,
    at timestamptz NOT NULL,
    step int NOT NULL,
    weight_ppm int NOT NULL,
    findings jsonb NOT NULL,
    PRIMARY KEY (model, rollout_id, number)
);
