-- Nothing can be credited of what came to 0, or of an invoice of which the rest was written off: it has
-- never needed a credit note.
UPDATE billing.charge
SET needs_credit_note = false, corrected = true
FROM billing.invoice_line AS line
JOIN billing.invoice ON invoice.id = line.invoice_id
WHERE line.charge_id = charge.id AND line.live AND charge.needs_credit_note
    AND (line.total = 0 OR invoice.total = invoice.credited + invoice.written_off);
