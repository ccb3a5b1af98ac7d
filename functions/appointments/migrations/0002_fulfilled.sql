-- What the billing service compares its charges with: which appointments have taken place, as somebody has
-- recorded since then.
CREATE FUNCTION appointments.fulfilled_since(since timestamptz)
    RETURNS TABLE (appointment_id uuid, patient_id uuid, fulfilled_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT id, appointment.patient_id, updated_at
    FROM appointments.appointment
    WHERE status = 'FULFILLED' AND updated_at >= fulfilled_since.since
$$;

REVOKE ALL ON FUNCTION appointments.fulfilled_since FROM PUBLIC;
