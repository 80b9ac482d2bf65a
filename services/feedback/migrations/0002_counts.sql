-- What is kept, counted as it changes: to count millions of rows every few seconds costs more than to join them.
CREATE TABLE row_counts (
    model text NOT NULL,
    state text NOT NULL,
    rows bigint NOT NULL,
    predictions bigint NOT NULL, -- each is counted with its first row
    PRIMARY KEY (model, state)
);
INSERT INTO row_counts
    SELECT model, state, count(*), count(*) FILTER (WHERE row_index = 0) FROM prediction_rows GROUP BY model, state;

CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE row_counts AS c SET rows = c.rows - g.rows, predictions = c.predictions - g.predictions
        FROM (
            SELECT model, state, count(*) AS rows, count(*) FILTER (WHERE row_index = 0) AS predictions
            FROM gone GROUP BY model, state
        ) AS g
        WHERE c.model = g.model AND c.state = g.state;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO row_counts AS c
            SELECT model, state, count(*), count(*) FILTER (WHERE row_index = 0) FROM added GROUP BY model, state
        ON CONFLICT (model, state) DO UPDATE
            SET rows = c.rows + excluded.rows, predictions = c.predictions + excluded.predictions;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER count_added AFTER INSERT ON prediction_rows
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_rows();
CREATE TRIGGER count_changed AFTER UPDATE ON prediction_rows
    REFERENCING OLD TABLE AS gone NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_rows();
CREATE TRIGGER count_gone AFTER DELETE ON prediction_rows
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION count_rows();

-- Nothing is looked for by these any more, and every record had to be written into them.
DROP INDEX prediction_rows_by_state;
DROP INDEX predictions_by_model;

-- The cascade ran a statement for each deleted prediction; doubles are deleted with it by the same statement now.
ALTER TABLE prediction_doubles DROP CONSTRAINT prediction_doubles_prediction_id_fkey;
