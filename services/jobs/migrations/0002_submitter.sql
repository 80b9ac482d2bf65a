-- Roles and credential of whoever submitted the job: it is answered, and recorded, as his.
ALTER TABLE jobs ADD COLUMN submitter bytea NOT NULL DEFAULT '';
