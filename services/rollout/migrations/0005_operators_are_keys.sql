-- Who may command rollouts is known by an API key with roles, as everywhere.
DROP TABLE operators;
