-- What a version knows of rows unlike its training rows, and of its own sureness; empty: nothing.
ALTER TABLE profiles ADD COLUMN input_profile bytea NOT NULL DEFAULT '';
