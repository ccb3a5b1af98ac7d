-- Whether its appointment said something else when a charge was cancelled or credited. It is charged again
-- if the appointment says so again; what was cancelled or credited on purpose is not.
ALTER TABLE billing.charge
    ADD COLUMN corrected boolean NOT NULL DEFAULT false
        CONSTRAINT charge_corrected_by_its_source CHECK (NOT corrected OR source_type IS NOT NULL);

-- Until now, the reason said so; a charge that had to be credited, and whose invoice was voided instead, was
-- cancelled without one at that moment; and a newer version of the appointment came before the credit note.
UPDATE billing.charge
SET corrected = true
WHERE source_type = 'APPOINTMENT' AND state = 'CANCELLED'
    AND (cancel_reason = 'The appointment was corrected' OR (cancel_reason IS NULL AND EXISTS (
        SELECT FROM billing.invoice_line AS line
        JOIN billing.invoice ON invoice.id = line.invoice_id
        WHERE line.charge_id = charge.id
            AND cancelled_at BETWEEN invoice.voided_at AND invoice.voided_at + interval '1 second'
    )));

UPDATE billing.charge
SET corrected = true
FROM billing.source_mark AS mark
WHERE charge.source_type = mark.source_type AND charge.source_id = mark.source_id
    AND charge.source_version < mark.version AND charge.state = 'INVOICED' AND NOT charge.needs_credit_note
    AND EXISTS (
        SELECT FROM billing.invoice_line AS line
        JOIN billing.credit_note_line AS credited ON credited.invoice_line_id = line.id
        JOIN billing.credit_note AS note ON note.id = credited.credit_note_id
        WHERE line.charge_id = charge.id AND line.live
        GROUP BY line.id
        HAVING sum(credited.total) = line.total AND max(note.issued_at) > mark.changed_at
    );
