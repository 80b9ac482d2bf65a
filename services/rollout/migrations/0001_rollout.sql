CREATE TABLE lease (
    id int PRIMARY KEY CHECK (id = 1),
    holder text NOT NULL,
    fence bigint NOT NULL,
    expires_at timestamptz NOT NULL
);
INSERT INTO lease VALUES (1, '', 0, '-infinity');

CREATE TABLE model_specs (
    model text NOT NULL,
    revision bigint NOT NULL,
    tenant text NOT NULL,
    yaml text NOT NULL,
    recipe text NOT NULL,
    recipe_digest text NOT NULL,
    digest text NOT NULL,
    applied_by text NOT NULL,
    applied_at timestamptz NOT NULL,
    PRIMARY KEY (model, revision)
);

CREATE TABLE rollout_log (
    model text NOT NULL,
    seq bigint NOT NULL,
    rollout_id text NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    trigger text NOT NULL,
    version text NOT NULL,
    digest text NOT NULL,
    champion_version text NOT NULL,
    step int NOT NULL,
    weight_ppm int NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    evidence jsonb NOT NULL,
    epoch bigint NOT NULL,
    fence bigint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (model, seq),
    UNIQUE (model, epoch)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rollout_log is append-only: % refused', TG_OP;
END $$;
CREATE TRIGGER rollout_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rollout_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Counts of the live rollout; its `offsets` say up to which record of each partition they reach.
CREATE TABLE tallies (
    model text PRIMARY KEY,
    rollout_id text NOT NULL,
    counts jsonb NOT NULL
);

CREATE TABLE candidates (
    model text NOT NULL,
    version text NOT NULL,
    digest text NOT NULL,
    state text NOT NULL CHECK (state IN ('WAITING', 'STARTED', 'SUPERSEDED', 'DROPPED')),
    note text NOT NULL DEFAULT '',
    actor text NOT NULL,
    reason text NOT NULL,
    quality text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (model, version)
);
CREATE UNIQUE INDEX one_waits ON candidates (model) WHERE state = 'WAITING';

CREATE TABLE profiles (
    model text NOT NULL,
    version text NOT NULL,
    profile bytea NOT NULL,
    PRIMARY KEY (model, version)
);

CREATE TABLE outbox (
    id bigserial PRIMARY KEY,
    topic text NOT NULL,
    key text NOT NULL,
    value bytea NOT NULL,
    headers jsonb NOT NULL
);
