-- Keys are only ever added and revoked, so (count, revoked count) changes with every change.
CREATE TABLE api_keys (
    key_id text PRIMARY KEY,
    principal text NOT NULL,
    tenant text NOT NULL,
    mac bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
