-- In the order of the changes that go on meanwhile.
LOCK TABLE billing.invoice, billing.write_off IN ACCESS EXCLUSIVE MODE;

-- What was asked for is also rejected, or lapses.
ALTER TABLE billing.write_off
    DROP CONSTRAINT write_off_state_known,
    ADD CONSTRAINT write_off_state_known CHECK (
        state IN ('REQUESTED', 'GRANTED', 'SUPERSEDED', 'REJECTED', 'LAPSED')
    ),
    ADD COLUMN rejected_by      uuid,
    ADD COLUMN rejected_at      timestamptz,
    ADD COLUMN rejection_reason text CHECK (char_length(rejection_reason) BETWEEN 1 AND 200),
    ADD CONSTRAINT write_off_rejected_at_a_time CHECK (
        num_nulls(rejected_by, rejected_at, rejection_reason) = CASE state WHEN 'REJECTED' THEN 0 ELSE 3 END
    );

-- Once nothing is due, there is nothing to be granted, and what becomes due later has to be asked for
-- again: whether the invoice was paid, credited, or voided.
CREATE FUNCTION billing.lapse_write_off() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE billing.write_off SET state = 'LAPSED'
    WHERE invoice_id = NEW.id AND state = 'REQUESTED';
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION billing.lapse_write_off FROM PUBLIC;

CREATE TRIGGER write_off_lapses AFTER UPDATE ON billing.invoice
    FOR EACH ROW WHEN (OLD.due > 0 AND NEW.due = 0) EXECUTE FUNCTION billing.lapse_write_off();

UPDATE billing.write_off SET state = 'LAPSED'
FROM billing.invoice
WHERE invoice.id = write_off.invoice_id AND write_off.state = 'REQUESTED' AND invoice.due = 0;
