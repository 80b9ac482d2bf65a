-- What labels and outcomes tell of how a prediction came to its version.
ALTER TABLE predictions
    ADD COLUMN unit text NOT NULL DEFAULT '', -- what sticks to an arm; empty: the prediction id
    ADD COLUMN pinned boolean NOT NULL DEFAULT false; -- the caller chose the version
