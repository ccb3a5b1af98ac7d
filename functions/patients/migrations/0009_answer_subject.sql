-- Whose data a stored answer holds. What a registration answered says so in its Location; the
-- paths of all other requests name the patient.
ALTER TABLE patients.idempotency_key ADD COLUMN subject uuid;

UPDATE patients.idempotency_key
SET subject = substring(location FROM '[^/]+$')::uuid
WHERE location IS NOT NULL;
