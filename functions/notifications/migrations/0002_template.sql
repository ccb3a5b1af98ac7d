-- What messages to patients say, where the clinic has written its own. Every version is kept; the
-- highest one counts. The built-in ones are not here: they are version 0.
CREATE TABLE notifications.template (
    kind       text        NOT NULL,
    language   text        NOT NULL,
    channel    text        NOT NULL,
    version    bigint      NOT NULL,
    subject    text,
    text       text        NOT NULL,
    -- The account of whoever wrote it.
    changed_by uuid        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT template_pkey PRIMARY KEY (kind, language, channel, version),
    CONSTRAINT template_version_counts CHECK (version > 0),
    CONSTRAINT template_kind_known CHECK (
        kind IN (
            'APPOINTMENT_BOOKED', 'APPOINTMENT_MOVED', 'APPOINTMENT_CANCELLED',
            'APPOINTMENT_REMINDER'
        )
    ),
    CONSTRAINT template_language_form CHECK (language ~ '^[a-z]{2,3}$'),
    CONSTRAINT template_channel_known CHECK (channel IN ('EMAIL', 'SMS')),
    CONSTRAINT template_subject_of_mail CHECK ((subject IS NOT NULL) = (channel = 'EMAIL')),
    CONSTRAINT template_subject_length CHECK (char_length(subject) BETWEEN 1 AND 300),
    CONSTRAINT template_text_length CHECK (char_length(text) BETWEEN 1 AND 5000)
);
