CREATE SCHEMA IF NOT EXISTS appointments;

-- Minutes of a clock: of the day in exceptions, of the week (from Monday, midnight) in hours.
-- Windows of opening hours are [opens, closes), in order, and do not overlap.

-- Where patients are seen.
CREATE TABLE appointments.location (
    id         uuid        PRIMARY KEY,
    version    bigint      NOT NULL DEFAULT 1 CHECK (version > 0),
    name       text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    -- IANA name. Conversions are made in Rust, with zone data of its own, and never in SQL.
    time_zone  text        NOT NULL CHECK (char_length(time_zone) BETWEEN 1 AND 64),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Who, or what, an appointment needs: clinicians, rooms, devices.
CREATE TABLE appointments.resource (
    id          uuid        PRIMARY KEY,
    -- Stands for the resource in the exclusion constraint of the occupancy, and is the order in
    -- which resources are locked.
    number      integer     GENERATED ALWAYS AS IDENTITY CONSTRAINT resource_number_unique UNIQUE,
    version     bigint      NOT NULL DEFAULT 1 CHECK (version > 0),
    kind        text        NOT NULL CHECK (kind IN ('CLINICIAN', 'ROOM', 'DEVICE')),
    name        text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    location_id uuid        NOT NULL REFERENCES appointments.location,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX resource_of_kind ON appointments.resource (kind, location_id);
CREATE INDEX resource_of_location ON appointments.resource (location_id);

-- What appointments are for.
CREATE TABLE appointments.service (
    id                   uuid        PRIMARY KEY,
    version              bigint      NOT NULL DEFAULT 1 CHECK (version > 0),
    -- The code under which it is billed.
    code                 text        NOT NULL CONSTRAINT service_code_unique UNIQUE
                                     CHECK (char_length(code) BETWEEN 1 AND 32),
    name                 text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    duration_minutes     integer     NOT NULL CHECK (duration_minutes BETWEEN 1 AND 1440),
    buffer_after_minutes integer     NOT NULL CHECK (buffer_after_minutes BETWEEN 0 AND 1440),
    -- Appointments start at multiples of this, counted on the clock from local midnight.
    grid_minutes         integer     NOT NULL CHECK (grid_minutes BETWEEN 1 AND 1440),
    notice_minutes       integer     NOT NULL CHECK (notice_minutes BETWEEN 0 AND 525600),
    horizon_days         integer     NOT NULL CHECK (horizon_days BETWEEN 1 AND 1830),
    -- How many patients share one slot.
    capacity             integer     NOT NULL CHECK (capacity BETWEEN 1 AND 100),
    -- One resource of each of these.
    resource_kinds       text[]      NOT NULL CHECK (cardinality(resource_kinds) BETWEEN 1 AND 3),
    reminder_minutes     integer[]   NOT NULL CHECK (cardinality(reminder_minutes) <= 5),
    created_at           timestamptz NOT NULL DEFAULT now()
);

-- The weekly hours of a resource, from a date until the next row's.
CREATE TABLE appointments.hours (
    resource_id uuid        NOT NULL REFERENCES appointments.resource,
    valid_from  date        NOT NULL,
    windows     int4range[] NOT NULL CHECK (cardinality(windows) <= 70),
    PRIMARY KEY (resource_id, valid_from)
);

-- The hours of a resource on one day, instead of its weekly ones.
CREATE TABLE appointments.day_exception (
    resource_id uuid        NOT NULL REFERENCES appointments.resource,
    day         date        NOT NULL,
    windows     int4range[] NOT NULL CHECK (cardinality(windows) <= 10),
    PRIMARY KEY (resource_id, day)
);

-- Days on which a location is closed.
CREATE TABLE appointments.closure (
    location_id uuid NOT NULL REFERENCES appointments.location,
    day         date NOT NULL,
    reason      text NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 100),
    PRIMARY KEY (location_id, day)
);

-- Leave, illness, maintenance.
CREATE TABLE appointments.absence (
    id          uuid        PRIMARY KEY,
    resource_id uuid        NOT NULL REFERENCES appointments.resource,
    starts_at   timestamptz NOT NULL CHECK (isfinite(starts_at)),
    ends_at     timestamptz NOT NULL CHECK (isfinite(ends_at)),
    reason      text        NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 200),
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT absence_has_a_duration CHECK (starts_at < ends_at)
);

CREATE INDEX absence_of_resource ON appointments.absence (resource_id, ends_at);

CREATE TABLE appointments.appointment (
    id              uuid        PRIMARY KEY,
    -- 1 on creation, one more with every change: the entity tag, and the order of events.
    version         bigint      NOT NULL CHECK (version > 0),
    patient_id      uuid        NOT NULL,
    service_id      uuid        NOT NULL REFERENCES appointments.service,
    location_id     uuid        NOT NULL REFERENCES appointments.location,
    -- Everything that it needs, in the order of the service's kinds.
    resource_ids    uuid[]      NOT NULL CHECK (cardinality(resource_ids) BETWEEN 1 AND 3),
    status          text        NOT NULL CONSTRAINT appointment_status_known CHECK (
                        status IN ('PENDING', 'BOOKED', 'ARRIVED', 'FULFILLED', 'CANCELLED', 'NO_SHOW')
                    ),
    starts_at       timestamptz NOT NULL CHECK (isfinite(starts_at)),
    ends_at         timestamptz NOT NULL CHECK (isfinite(ends_at)),
    -- What was agreed: the time on the wall. The instant follows from it, as long as the rules of
    -- the zone are those of this version of the zone data.
    time_zone       text        NOT NULL,
    local_start     timestamp   NOT NULL,
    zone_data       text        NOT NULL,
    -- How often it was moved or cancelled: SEQUENCE in RFC 5545.
    sequence        integer     NOT NULL DEFAULT 0 CHECK (sequence >= 0),
    series_id       uuid,
    hold_expires_at timestamptz,
    -- A resource is absent or closed then: somebody has to move it.
    orphaned        boolean     NOT NULL DEFAULT false,
    -- It was booked although a resource was not there, so that it is nobody's orphan.
    unattended      boolean     NOT NULL DEFAULT false,
    walk_in         boolean     NOT NULL DEFAULT false,
    cancel_reason   text        CHECK (char_length(cancel_reason) BETWEEN 1 AND 200),
    cancelled_at    timestamptz,
    -- Null if the patient did it, with their link, or if a hold has expired.
    cancelled_by    uuid,
    overbook_reason text        CHECK (char_length(overbook_reason) BETWEEN 1 AND 200),
    overbooked_by   uuid,
    -- When the patient has confirmed with their link that they will come.
    confirmed_at    timestamptz,
    -- Whoever has it may confirm or cancel the appointment: it is in the messages to the patient.
    link_token      uuid        NOT NULL DEFAULT gen_random_uuid()
                                CONSTRAINT appointment_link_unique UNIQUE,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT appointment_has_a_duration CHECK (starts_at < ends_at),
    CONSTRAINT hold_expires CHECK ((status = 'PENDING') = (hold_expires_at IS NOT NULL)),
    CONSTRAINT cancellation_has_a_reason CHECK ((status = 'CANCELLED') = (cancelled_at IS NOT NULL AND cancel_reason IS NOT NULL)),
    CONSTRAINT overbooking_has_a_reason CHECK ((overbook_reason IS NULL) = (overbooked_by IS NULL))
);

CREATE INDEX appointment_by_time ON appointments.appointment (starts_at, id);
CREATE INDEX appointment_of_patient ON appointments.appointment (patient_id, starts_at, id);
CREATE INDEX appointment_of_resource ON appointments.appointment USING gin (resource_ids);
CREATE INDEX appointment_held ON appointments.appointment (hold_expires_at) WHERE status = 'PENDING';
CREATE INDEX appointment_of_series ON appointments.appointment (series_id) WHERE series_id IS NOT NULL;

-- Who has what, and when: the database decides who gets a slot. A PENDING, BOOKED, ARRIVED or
-- FULFILLED appointment has a row for each of its resources, all others have none.
CREATE TABLE appointments.occupancy (
    appointment_id  uuid      NOT NULL REFERENCES appointments.appointment,
    resource_number integer   NOT NULL REFERENCES appointments.resource (number),
    service_id      uuid      NOT NULL,
    -- Patients share a resource in different seats: one of the capacity for each patient of a
    -- group, all of them for whoever is alone, and those from 1001 for whoever is overbooked.
    seats           int4range NOT NULL
                    CONSTRAINT occupancy_seats_closed CHECK (NOT isempty(seats) AND lower(seats) >= 1 AND upper(seats) IS NOT NULL),
    -- With the buffers.
    during          tstzrange NOT NULL
                    CONSTRAINT occupancy_during_closed CHECK (
                        NOT isempty(during) AND lower_inc(during) AND NOT upper_inc(during)
                        AND isfinite(lower(during)) AND isfinite(upper(during))
                    ),
    PRIMARY KEY (appointment_id, resource_number),
    -- Without the extension btree_gist, a range of one number stands for the number.
    CONSTRAINT occupancy_exclusive EXCLUDE USING gist (
        int4range(resource_number, resource_number, '[]') WITH &&,
        seats WITH &&,
        during WITH &&
    )
);

CREATE INDEX occupancy_of_resource ON appointments.occupancy (resource_number, upper(during));

-- What became of an appointment, version by version.
CREATE TABLE appointments.history (
    appointment_id uuid        NOT NULL REFERENCES appointments.appointment,
    version        bigint      NOT NULL,
    change         text        NOT NULL CHECK (change ~ '^[A-Z_]{1,40}$'),
    status         text        NOT NULL,
    starts_at      timestamptz NOT NULL,
    ends_at        timestamptz NOT NULL,
    resource_ids   uuid[]      NOT NULL,
    -- Null if nobody of the clinic did it: the patient, or the clock.
    actor          uuid,
    reason         text        CHECK (char_length(reason) BETWEEN 1 AND 200),
    at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (appointment_id, version)
);

-- Who would like to come, or to come earlier.
CREATE TABLE appointments.waitlist_entry (
    id             uuid        PRIMARY KEY,
    version        bigint      NOT NULL DEFAULT 1 CHECK (version > 0),
    patient_id     uuid        NOT NULL,
    service_id     uuid        NOT NULL REFERENCES appointments.service,
    resource_id    uuid        REFERENCES appointments.resource,
    first_day      date        NOT NULL,
    last_day       date        NOT NULL,
    -- The appointment that has been booked for them since.
    appointment_id uuid        REFERENCES appointments.appointment,
    created_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT waitlist_has_days CHECK (first_day <= last_day)
);

CREATE INDEX waitlist_open ON appointments.waitlist_entry (created_at, id) WHERE appointment_id IS NULL;
CREATE INDEX waitlist_of_patient ON appointments.waitlist_entry (patient_id, service_id) WHERE appointment_id IS NULL;

-- What others have to hear of: see the crate outbox.
CREATE TABLE appointments.outbox (
    sequence    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    patient_id  uuid        NOT NULL,
    message_id  uuid        NOT NULL,
    kind        text        NOT NULL CONSTRAINT outbox_kind_known CHECK (kind = 'APPOINTMENT_EVENT'),
    payload     bytea       NOT NULL,
    traceparent text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    attempts    integer     NOT NULL DEFAULT 0,
    not_before  timestamptz NOT NULL DEFAULT '-infinity'
);

CREATE INDEX outbox_patient_sequence ON appointments.outbox (patient_id, sequence);
CREATE INDEX outbox_line ON appointments.outbox (greatest(created_at, not_before), sequence);

-- The answers to requests that had an Idempotency-Key: see the crate idempotency.
CREATE TABLE appointments.idempotency_key (
    id           bytea       PRIMARY KEY CHECK (octet_length(id) = 32),
    fingerprint  bytea       NOT NULL CHECK (octet_length(fingerprint) = 32),
    status       smallint    NOT NULL CHECK (status BETWEEN 200 AND 499),
    content_type text,
    entity_tag   text,
    location     text,
    body         bytea       NOT NULL,
    subject      uuid,
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX idempotency_key_created_at ON appointments.idempotency_key (created_at);

-- What the notifications service asks when it is about to send a message: whether what the message
-- says is still true.
CREATE FUNCTION appointments.for_message(appointment uuid)
    RETURNS TABLE (
        status text, sequence integer, starts_at timestamptz, ends_at timestamptz,
        time_zone text, local_start timestamp, location_name text, link_token uuid
    )
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT appointment.status, appointment.sequence, appointment.starts_at, appointment.ends_at,
           appointment.time_zone, appointment.local_start, location.name, appointment.link_token
    FROM appointments.appointment
    JOIN appointments.location ON location.id = appointment.location_id
    WHERE appointment.id = for_message.appointment
$$;

REVOKE ALL ON ALL ROUTINES IN SCHEMA appointments FROM PUBLIC;
