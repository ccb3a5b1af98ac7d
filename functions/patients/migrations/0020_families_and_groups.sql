-- How two patients are related. Each relationship is one row, with the lower id first, so that it
-- cannot be there twice; what the one is to the other says what the other is to the one.
CREATE TABLE patients.relationship (
    id         uuid CONSTRAINT relationship_pkey PRIMARY KEY,
    lower_id   uuid NOT NULL REFERENCES patients.patient ON DELETE CASCADE,
    upper_id   uuid NOT NULL REFERENCES patients.patient ON DELETE CASCADE,
    -- What the patient with the higher id is to the other one.
    role       text NOT NULL CONSTRAINT relationship_role_known CHECK (role IN (
                   'PARENT', 'CHILD', 'SPOUSE', 'PARTNER', 'SIBLING', 'GUARDIAN', 'WARD',
                   'GRANDPARENT', 'GRANDCHILD', 'CARER', 'CARED_FOR', 'RELATIVE',
                   'HOUSEHOLD_MEMBER')),
    -- The first and the last day; null: unknown, or not over.
    valid_from date,
    valid_to   date,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT relationship_of_two CHECK (lower_id < upper_id),
    CONSTRAINT relationship_period CHECK (valid_from <= valid_to)
);

CREATE INDEX relationship_lower ON patients.relationship (lower_id);
CREATE INDEX relationship_upper ON patients.relationship (upper_id);

-- Patients who live together. Who is head of the family is one of its members.
CREATE TABLE patients.family (
    id         uuid        CONSTRAINT family_pkey PRIMARY KEY,
    version    bigint      NOT NULL,
    address    text        CHECK (char_length(address) BETWEEN 1 AND 300),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE patients.family_member (
    -- A patient has one family.
    patient_id uuid    CONSTRAINT family_member_pkey PRIMARY KEY
                       REFERENCES patients.patient ON DELETE CASCADE,
    family_id  uuid    NOT NULL REFERENCES patients.family ON DELETE CASCADE,
    is_head    boolean NOT NULL DEFAULT false
);

CREATE INDEX family_member_family ON patients.family_member (family_id);
CREATE UNIQUE INDEX family_one_head ON patients.family_member (family_id) WHERE is_head;

-- Patients who have something in common: a programme, a ward, a study.
CREATE TABLE patients.patient_group (
    id          uuid        CONSTRAINT patient_group_pkey PRIMARY KEY,
    version     bigint      NOT NULL DEFAULT 1 CHECK (version > 0),
    name        text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    purpose     text        CHECK (char_length(purpose) BETWEEN 1 AND 100),
    description text        CHECK (char_length(description) BETWEEN 1 AND 1000),
    active      boolean     NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE patients.group_member (
    group_id   uuid NOT NULL REFERENCES patients.patient_group ON DELETE CASCADE,
    patient_id uuid NOT NULL REFERENCES patients.patient ON DELETE CASCADE,
    -- The first and the last day; null: unknown, or not over.
    valid_from date,
    valid_to   date,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT group_member_pkey PRIMARY KEY (group_id, patient_id),
    CONSTRAINT group_member_period CHECK (valid_from <= valid_to)
);

CREATE INDEX group_member_patient ON patients.group_member (patient_id, group_id);
