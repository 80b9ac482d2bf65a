-- What the policies said to whoever commanded a transition; empty where nobody did.
ALTER TABLE rollout_log
    ADD COLUMN decision_id text NOT NULL DEFAULT '',
    ADD COLUMN policy_hash text NOT NULL DEFAULT '';

ALTER TABLE candidates
    ADD COLUMN decision_id text NOT NULL DEFAULT '',
    ADD COLUMN policy_hash text NOT NULL DEFAULT '';
