-- Messages with an invoice: about no appointment, and stored by billing in the transaction in which
-- somebody asks for it.
ALTER TABLE notifications.message
    ALTER COLUMN appointment_id DROP NOT NULL,
    DROP CONSTRAINT message_kind_known,
    ADD CONSTRAINT message_kind_known CHECK (
        kind IN (
            'APPOINTMENT_BOOKED', 'APPOINTMENT_MOVED', 'APPOINTMENT_CANCELLED',
            'APPOINTMENT_REMINDER', 'INVOICE_SENT'
        )
    ),
    ADD CONSTRAINT message_appointment_where_needed CHECK (
        (appointment_id IS NULL) = (kind = 'INVOICE_SENT')
    ),
    ADD CONSTRAINT message_with_file_is_mail CHECK (kind <> 'INVOICE_SENT' OR channel = 'EMAIL');

ALTER TABLE notifications.template
    DROP CONSTRAINT template_kind_known,
    ADD CONSTRAINT template_kind_known CHECK (
        kind IN (
            'APPOINTMENT_BOOKED', 'APPOINTMENT_MOVED', 'APPOINTMENT_CANCELLED',
            'APPOINTMENT_REMINDER', 'INVOICE_SENT'
        )
    );

-- For billing. The message has the id of the delivery: billing.document_of knows what to attach.
CREATE FUNCTION notifications.send_invoice(delivery uuid, patient uuid, asked_at timestamptz)
    RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO notifications.message
        (id, patient_id, kind, channel, sequence, offset_minutes, must_be_told, by_patient,
         occurred_at, due_at, next_attempt_at, state)
    VALUES (send_invoice.delivery, send_invoice.patient, 'INVOICE_SENT', 'EMAIL', 0, 0, false, false,
            send_invoice.asked_at, send_invoice.asked_at, send_invoice.asked_at, 'PENDING')
$$;

-- Who may call it is said by provision.
REVOKE ALL ON FUNCTION notifications.send_invoice FROM PUBLIC;
