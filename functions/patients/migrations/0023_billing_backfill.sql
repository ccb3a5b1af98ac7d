-- Patients who were registered before billing knew addresses have none there, and perhaps an earlier name.
-- relay-outbox tells billing of all who are here now, some at a time, in the order of their ids. A row as
-- long as somebody is left.
CREATE TABLE patients.billing_backfill (
    the_only_one boolean NOT NULL DEFAULT true CONSTRAINT billing_backfill_pkey PRIMARY KEY CHECK (the_only_one),
    -- Billing was told of everybody up to this patient…
    told_up_to   uuid    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    -- … and is to be told up to this one: who comes later is told with everything.
    last         uuid    NOT NULL
);

INSERT INTO patients.billing_backfill (last)
SELECT id FROM patients.patient ORDER BY id DESC LIMIT 1;
