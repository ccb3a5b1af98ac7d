-- Who is registered has a billing account once the message that opens it is delivered, a moment later.
-- Whoever asks for the account before that finds the message here, and opens it. What is read is what
-- billing is about to be told anyway.
--
-- Nothing of a patient who was deleted: their account is opened and closed, in this order, by whoever
-- delivers the messages.
CREATE FUNCTION patients.account_to_open(patient uuid) RETURNS bytea
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT message.payload
    FROM patients.outbox AS message
    WHERE message.patient_id = patients.canonical(account_to_open.patient)
        AND message.kind = 'BILLING_ACCOUNT'
        AND EXISTS (
            SELECT FROM patients.patient WHERE id = message.patient_id AND deleted_at IS NULL
        )
    ORDER BY message.sequence
    LIMIT 1
$$;

REVOKE ALL ON FUNCTION patients.account_to_open FROM PUBLIC;
