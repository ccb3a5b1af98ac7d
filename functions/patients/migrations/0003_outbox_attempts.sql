-- A message that its receiver refuses is tried again later and later. It keeps those of
-- its own patient waiting, and nobody else.
ALTER TABLE patients.outbox
    -- How often it was refused. A receiver that is down refuses nothing.
    ADD COLUMN attempts   integer     NOT NULL DEFAULT 0,
    ADD COLUMN not_before timestamptz NOT NULL DEFAULT '-infinity';
