-- One accepted job, from its arrival to the end of its retention.
CREATE TABLE jobs (
    job_id text PRIMARY KEY,
    tenant text NOT NULL,
    principal text NOT NULL,
    model text NOT NULL,
    priority text NOT NULL CHECK (priority IN ('high', 'normal', 'low')),
    state text NOT NULL CHECK (state IN ('QUEUED', 'RUNNING', 'DONE', 'FAILED', 'EXPIRED', 'CANCELLED')),
    request bytea,                         -- inference.ModelInferRequest; gone when the job has ended
    request_bytes integer NOT NULL,
    response bytea,                        -- inference.ModelInferResponse of a DONE job, until its time is over
    response_bytes integer NOT NULL DEFAULT 0,
    code text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '',
    callback_url text NOT NULL DEFAULT '',
    reply_topic text NOT NULL DEFAULT '',
    tries integer NOT NULL DEFAULT 0,        -- times it was taken up
    attempt integer NOT NULL DEFAULT 0,      -- tries whose failure is known; part of the prediction id
    arm_failures integer NOT NULL DEFAULT 0, -- of those, failures of the version itself
    submitted_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,             -- not taken up before
    finished_at timestamptz,
    claimed_by text NOT NULL DEFAULT '',
    claimed_until timestamptz
);
CREATE INDEX jobs_to_claim ON jobs (priority, due_at) INCLUDE (request_bytes) WHERE state = 'QUEUED';
CREATE INDEX jobs_to_expire ON jobs (expires_at) WHERE state = 'QUEUED';
CREATE INDEX jobs_claimed ON jobs (claimed_until) WHERE state = 'RUNNING';
CREATE INDEX jobs_with_result ON jobs (finished_at) INCLUDE (response_bytes) WHERE response_bytes > 0;
CREATE INDEX jobs_to_prune ON jobs (finished_at) WHERE finished_at IS NOT NULL;

-- A result on its way to its callback URL.
CREATE TABLE callbacks (
    job_id text PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    state text NOT NULL CHECK (state IN ('PENDING', 'DELIVERED', 'GIVEN_UP')),
    tries integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    deadline_at timestamptz NOT NULL,
    reason text NOT NULL DEFAULT ''
);
CREATE INDEX callbacks_due ON callbacks (due_at) WHERE state = 'PENDING';

CREATE TABLE outbox (
    id bigserial PRIMARY KEY,
    topic text NOT NULL,
    key text NOT NULL,
    value bytea NOT NULL,
    headers jsonb NOT NULL
);
