-- What a booking writes, for pgbench with prepared statements: the same rows as the function's, with
-- nothing to decide. Each client takes a slot of its own, on one day after another.
\set day :day + 1
BEGIN;
WITH slot AS (
    SELECT :first_day::timestamptz + :day::integer * interval '1 day' + interval '8 hours'
           + :client_id::integer * interval '5 minutes' AS start
), appointment AS (
    INSERT INTO appointments.appointment
        (id, version, patient_id, service_id, location_id, resource_ids, status, starts_at, ends_at,
         time_zone, local_start, zone_data, created_at, updated_at)
    SELECT gen_random_uuid(), 1, gen_random_uuid(), :service::uuid, :location::uuid,
           ARRAY[:clinician::uuid], 'BOOKED', start, start + interval '5 minutes', 'Africa/Nairobi',
           (start + interval '3 hours') AT TIME ZONE 'UTC', 'benchmark', now(), now()
    FROM slot
    RETURNING id, status, starts_at, ends_at, resource_ids
), history AS (
    INSERT INTO appointments.history
        (appointment_id, version, change, status, starts_at, ends_at, resource_ids, actor, at)
    SELECT id, 1, 'BOOKED', status, starts_at, ends_at, resource_ids, id, now() FROM appointment
)
SELECT id AS appointment, starts_at, ends_at FROM appointment \gset
INSERT INTO appointments.occupancy (appointment_id, resource_number, service_id, seats, during)
SELECT :appointment::uuid, number, :service::uuid, '[1,1001)',
       tstzrange(:starts_at::timestamptz, :ends_at::timestamptz, '[)')
FROM appointments.resource WHERE id = :clinician::uuid
ON CONFLICT DO NOTHING;
INSERT INTO appointments.outbox (patient_id, message_id, kind, payload, traceparent, not_before)
VALUES (:appointment::uuid, gen_random_uuid(), 'APPOINTMENT_EVENT',
        decode(repeat('00', 180), 'hex'),
        '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'infinity');
SELECT audit.append(gen_random_uuid(), NULL, NULL, 'BOOK_APPOINTMENT', 'SUCCEEDED', NULL,
                    ARRAY[:appointment::uuid], NULL, NULL, '127.0.0.1', 'benchmark',
                    'APPOINTMENT', :appointment::uuid);
COMMIT;
