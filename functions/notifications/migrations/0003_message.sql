-- Which version of each appointment was seen last, and the event that made it: see
-- src/schedule_messages.rs.
CREATE TABLE notifications.appointment_seen (
    appointment_id uuid        CONSTRAINT appointment_seen_pkey PRIMARY KEY,
    version        bigint      NOT NULL,
    event_id       uuid        NOT NULL,
    seen_at        timestamptz NOT NULL DEFAULT now()
);

-- Every message about an appointment, due or done with.
CREATE TABLE notifications.message (
    id              uuid        CONSTRAINT message_pkey PRIMARY KEY,
    patient_id      uuid        NOT NULL,
    appointment_id  uuid        NOT NULL,
    kind            text        NOT NULL,
    channel         text        NOT NULL,
    -- That of the appointment: a message about an earlier one is out of date.
    sequence        integer     NOT NULL,
    -- How long before the start a reminder is due; 0 for all others.
    offset_minutes  integer     NOT NULL,
    -- The patient must be told, whatever they have opted out of.
    must_be_told    boolean     NOT NULL,
    -- The patient has cancelled the appointment, and not the clinic.
    by_patient      boolean     NOT NULL,
    -- When the event happened that it is about.
    occurred_at     timestamptz NOT NULL,
    due_at          timestamptz NOT NULL,
    -- Not before: due_at at first, then the end of a lease, of a pause or of the quiet hours.
    next_attempt_at timestamptz NOT NULL,
    attempts        integer     NOT NULL DEFAULT 0,
    state           text        NOT NULL,
    reason          text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    -- What was sent, and the id by which the mail service tells what became of it.
    recipient       text,
    subject         text,
    provider_id     text,
    sent_at         timestamptz,

    CONSTRAINT message_once UNIQUE (appointment_id, kind, channel, sequence, offset_minutes),
    CONSTRAINT message_kind_known CHECK (
        kind IN (
            'APPOINTMENT_BOOKED', 'APPOINTMENT_MOVED', 'APPOINTMENT_CANCELLED',
            'APPOINTMENT_REMINDER'
        )
    ),
    CONSTRAINT message_channel_known CHECK (channel IN ('EMAIL', 'SMS')),
    CONSTRAINT message_offset_of_reminder CHECK (
        (offset_minutes > 0) = (kind = 'APPOINTMENT_REMINDER') AND offset_minutes >= 0
    ),
    CONSTRAINT message_state_known CHECK (
        state IN (
            'PENDING', 'SENT', 'DELIVERED', 'BOUNCED', 'COMPLAINED', 'SUPPRESSED', 'FAILED'
        )
    ),
    CONSTRAINT message_reason_where_needed CHECK (
        (reason IS NOT NULL) = (state IN ('SUPPRESSED', 'FAILED'))
    )
);

CREATE INDEX message_due ON notifications.message (next_attempt_at) WHERE state = 'PENDING';
CREATE INDEX message_of_patient ON notifications.message (patient_id, occurred_at DESC, id DESC);
CREATE UNIQUE INDEX message_provider_id_unique ON notifications.message (provider_id);
