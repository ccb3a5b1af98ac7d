-- The account of a patient who was deleted is closed: nothing is charged to it any more, and
-- what was stays.
ALTER TABLE billing.account
    ADD COLUMN closed_at timestamptz,
    DROP CONSTRAINT account_status_known,
    ADD CONSTRAINT account_status_known CHECK (status IN ('ACTIVE', 'CLOSED')),
    ADD CONSTRAINT account_closed_at_a_time CHECK ((status = 'CLOSED') = (closed_at IS NOT NULL));
