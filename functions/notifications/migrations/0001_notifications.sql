CREATE SCHEMA IF NOT EXISTS notifications;

-- How a patient wants to be reached, once somebody has said so. Without a row, the defaults apply:
-- see src/preferences.rs.
CREATE TABLE notifications.preference (
    patient_id uuid        CONSTRAINT preference_pkey PRIMARY KEY,
    -- 1 when first stored, one more with every change: the entity tag.
    version    bigint      NOT NULL,
    language   text        NOT NULL,
    phone      text,
    email      boolean     NOT NULL,
    sms        boolean     NOT NULL,
    quiet_from time,
    quiet_to   time,
    updated_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT preference_version_counts CHECK (version > 0),
    CONSTRAINT preference_language_form CHECK (language ~ '^[a-z]{2,3}$'),
    CONSTRAINT preference_phone_form CHECK (phone ~ '^\+[1-9][0-9]{3,14}$'),
    CONSTRAINT preference_quiet_hours_whole CHECK ((quiet_from IS NULL) = (quiet_to IS NULL)),
    CONSTRAINT preference_quiet_hours_end CHECK (quiet_from <> quiet_to)
);

-- What a patient does not want to get on a channel. Everything else is wanted.
CREATE TABLE notifications.opt_out (
    patient_id uuid NOT NULL,
    kind       text NOT NULL,
    channel    text NOT NULL,

    CONSTRAINT opt_out_pkey PRIMARY KEY (patient_id, kind, channel),
    CONSTRAINT opt_out_of_preference FOREIGN KEY (patient_id)
        REFERENCES notifications.preference ON DELETE CASCADE,
    CONSTRAINT opt_out_kind_known CHECK (
        kind IN ('APPOINTMENT_BOOKED', 'APPOINTMENT_CANCELLED', 'APPOINTMENT_REMINDER')
    ),
    CONSTRAINT opt_out_channel_known CHECK (channel IN ('EMAIL', 'SMS'))
);
