-- Since when every appointment that takes place is charged: who came before that was not.
CREATE TABLE billing.charged_since (
    the_only_one boolean     NOT NULL DEFAULT true CONSTRAINT charged_since_pkey PRIMARY KEY CHECK (the_only_one),
    since        timestamptz NOT NULL
);

-- If charges were made before, then since the first of them.
INSERT INTO billing.charged_since (since)
SELECT coalesce(min(created_at), now()) FROM billing.charge WHERE source_type = 'APPOINTMENT';
