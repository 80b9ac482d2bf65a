-- What each process has counted since its start: totals that only grow, so that writing one twice is writing it once.
CREATE TABLE usage (
    day date NOT NULL,
    counts text NOT NULL,
    tenant text NOT NULL,
    principal text NOT NULL,
    model text NOT NULL,
    holder text NOT NULL,
    requests bigint NOT NULL,
    rows bigint NOT NULL,
    tokens bigint NOT NULL,
    cost_millionths bigint NOT NULL,
    compute_s double precision NOT NULL,
    PRIMARY KEY (day, counts, tenant, principal, model, holder)
);
