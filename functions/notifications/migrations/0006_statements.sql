-- Messages with a statement: like those with an invoice, about no appointment.
ALTER TABLE notifications.message
    DROP CONSTRAINT message_kind_known,
    ADD CONSTRAINT message_kind_known CHECK (
        kind IN (
            'APPOINTMENT_BOOKED', 'APPOINTMENT_MOVED', 'APPOINTMENT_CANCELLED',
            'APPOINTMENT_REMINDER', 'INVOICE_SENT', 'STATEMENT_SENT'
        )
    ),
    DROP CONSTRAINT message_appointment_where_needed,
    ADD CONSTRAINT message_appointment_where_needed CHECK (
        (appointment_id IS NULL) = (kind IN ('INVOICE_SENT', 'STATEMENT_SENT'))
    ),
    DROP CONSTRAINT message_with_file_is_mail,
    ADD CONSTRAINT message_with_file_is_mail CHECK (
        kind NOT IN ('INVOICE_SENT', 'STATEMENT_SENT') OR channel = 'EMAIL'
    );

ALTER TABLE notifications.template
    DROP CONSTRAINT template_kind_known,
    ADD CONSTRAINT template_kind_known CHECK (
        kind IN (
            'APPOINTMENT_BOOKED', 'APPOINTMENT_MOVED', 'APPOINTMENT_CANCELLED',
            'APPOINTMENT_REMINDER', 'INVOICE_SENT', 'STATEMENT_SENT'
        )
    );

-- For billing. The message has the id of the delivery: billing.statement_of knows what to attach.
CREATE FUNCTION notifications.send_statement(delivery uuid, patient uuid, asked_at timestamptz)
    RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO notifications.message
        (id, patient_id, kind, channel, sequence, offset_minutes, must_be_told, by_patient,
         occurred_at, due_at, next_attempt_at, state)
    VALUES (send_statement.delivery, send_statement.patient, 'STATEMENT_SENT', 'EMAIL', 0, 0, false,
            false, send_statement.asked_at, send_statement.asked_at, send_statement.asked_at, 'PENDING')
$$;

-- Who may call it is said by provision.
REVOKE ALL ON FUNCTION notifications.send_statement FROM PUBLIC;
