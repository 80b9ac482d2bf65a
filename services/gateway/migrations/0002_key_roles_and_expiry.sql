ALTER TABLE api_keys
    ADD COLUMN roles text[] NOT NULL DEFAULT '{app}',
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN created_by text NOT NULL DEFAULT '',
    ADD COLUMN rotated_from text NOT NULL DEFAULT '';

-- Each change of a key gives it the next revision, so that the sum of all grows with every change: no two
-- states of the table have the same one, in whatever order transactions are committed.
CREATE SEQUENCE api_key_revisions;
ALTER TABLE api_keys
    ADD COLUMN revision bigint NOT NULL DEFAULT nextval('api_key_revisions'),
    -- The revision that the topic `identities` tells; a row's last state is all that it needs to tell.
    ADD COLUMN announced bigint NOT NULL DEFAULT 0;
CREATE INDEX api_keys_to_announce ON api_keys (revision) WHERE announced < revision;
