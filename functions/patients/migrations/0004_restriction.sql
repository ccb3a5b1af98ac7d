-- Restricted: only those may see the patient who may see restricted patients.
ALTER TABLE patients.patient ADD COLUMN restricted boolean NOT NULL DEFAULT false;

-- What other services may ask, that hold data about patients too. Nobody is restricted who
-- does not exist.
CREATE FUNCTION patients.is_restricted(patient uuid) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN coalesce((SELECT restricted FROM patients.patient WHERE id = is_restricted.patient), false);
