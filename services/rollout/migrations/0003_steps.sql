-- What the routes of shadow and A/B steps follow from, and whose policy a rollout obeys to its end.
ALTER TABLE rollout_log
    ADD COLUMN rival_versions text[] NOT NULL DEFAULT '{}',
    ADD COLUMN rival_digests text[] NOT NULL DEFAULT '{}',
    ADD COLUMN spec_revision bigint NOT NULL DEFAULT 0,
    ADD COLUMN mirror_ppm int NOT NULL DEFAULT 0,
    ADD COLUMN max_mirrored_per_s double precision NOT NULL DEFAULT 0;

ALTER TABLE candidates
    ADD COLUMN rival_versions text[] NOT NULL DEFAULT '{}',
    ADD COLUMN rival_digests text[] NOT NULL DEFAULT '{}';
