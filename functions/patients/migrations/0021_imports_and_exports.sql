-- Patients come from files, and go into files, in the background. What has been done of a file is
-- written with what it did, so that a run that is killed is continued where it was.
CREATE TABLE patients.import (
    id             uuid        CONSTRAINT import_pkey PRIMARY KEY,
    state          text        NOT NULL DEFAULT 'AWAITING_UPLOAD' CONSTRAINT import_state_known
                               CHECK (state IN ('AWAITING_UPLOAD', 'RUNNING', 'COMPLETED', 'REFUSED', 'EXPIRED')),
    -- How the file is to be read: what the client has said.
    format         text        NOT NULL CONSTRAINT import_format_known CHECK (format IN ('CSV', 'NDJSON')),
    date_format    text        NOT NULL,
    columns        jsonb       NOT NULL,
    welcome        boolean     NOT NULL,
    content_length bigint      NOT NULL CHECK (content_length > 0),
    -- How it is read: what a look at all of it has found. Null: nobody has looked yet.
    layout         jsonb,
    -- Why all of it is refused.
    refusal        text,
    -- How many lines there are, not counting the header, and what has become of them.
    total          integer,
    created        integer     NOT NULL DEFAULT 0,
    duplicates     integer     NOT NULL DEFAULT 0,
    refused        integer     NOT NULL DEFAULT 0,
    -- Where the next line begins: the byte, and the number of the line.
    next_byte      bigint      NOT NULL DEFAULT 0,
    next_line      bigint      NOT NULL DEFAULT 1,
    -- Who works on it, and until when nobody else does.
    leased_by      uuid,
    leased_until   timestamptz NOT NULL DEFAULT '-infinity',
    -- Who has asked for it: whose permission it needs, and who is on record.
    actor_id       uuid        NOT NULL,
    actor_role     text        NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    started_at     timestamptz,
    finished_at    timestamptz
);

CREATE INDEX import_to_do ON patients.import (created_at)
    WHERE state IN ('AWAITING_UPLOAD', 'RUNNING');
CREATE INDEX import_created_at ON patients.import (created_at);

-- What became of each line.
CREATE TABLE patients.import_line (
    import_id  uuid    NOT NULL REFERENCES patients.import ON DELETE CASCADE,
    line       bigint  NOT NULL,
    outcome    text    NOT NULL CONSTRAINT import_line_outcome_known
                       CHECK (outcome IN ('CREATED', 'DUPLICATE', 'REFUSED')),
    -- Who was created, or is there already.
    patient_id uuid,
    -- Why the line was refused, or what else there is to know.
    reason     text,
    CONSTRAINT import_line_pkey PRIMARY KEY (import_id, line)
);

CREATE TABLE patients.export (
    id           uuid        CONSTRAINT export_pkey PRIMARY KEY,
    state        text        NOT NULL DEFAULT 'RUNNING' CONSTRAINT export_state_known
                             CHECK (state IN ('RUNNING', 'COMPLETED', 'REFUSED')),
    format       text        NOT NULL CONSTRAINT export_format_known CHECK (format IN ('CSV', 'NDJSON')),
    refusal      text,
    -- Whether restricted patients are in it.
    restricted   boolean     NOT NULL,
    -- The last patient in it so far, how many there are, and the parts of the file; null: nobody
    -- has begun to write it.
    last_id      uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    exported     integer     NOT NULL DEFAULT 0,
    parts        jsonb,
    leased_by    uuid,
    leased_until timestamptz NOT NULL DEFAULT '-infinity',
    actor_id     uuid        NOT NULL,
    actor_role   text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz
);

CREATE INDEX export_to_do ON patients.export (created_at) WHERE state = 'RUNNING';
CREATE INDEX export_created_at ON patients.export (created_at);
