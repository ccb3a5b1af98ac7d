-- Amounts are whole numbers of the currency's smallest unit, at most 10^15 - 1, as in the crate money.

-- Some rows are never changed, by nobody: not even the owner does it by mistake.
CREATE FUNCTION billing.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'rows of %.% are never changed or removed', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

-- What something costs from a date on. The newest row of the latest date up to a day holds on it.
CREATE TABLE billing.price (
    id           uuid        PRIMARY KEY,
    -- The order in which prices were set.
    sequence     bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT price_sequence_unique UNIQUE,
    code         text        NOT NULL CHECK (char_length(code) BETWEEN 1 AND 32),
    description  text        NOT NULL CHECK (char_length(description) BETWEEN 1 AND 200),
    currency     text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- For one of it, without tax.
    unit_amount  bigint      NOT NULL CHECK (unit_amount BETWEEN 0 AND 999999999999999),
    tax_rate_ppm integer     NOT NULL CHECK (tax_rate_ppm BETWEEN 0 AND 1000000),
    valid_from   date        NOT NULL CHECK (isfinite(valid_from)),
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX price_in_force ON billing.price (code, currency, valid_from DESC, sequence DESC);

CREATE TRIGGER price_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON billing.price
    FOR EACH STATEMENT EXECUTE FUNCTION billing.refuse_change();

-- What a patient is to pay for, at the price of its day.
CREATE TABLE billing.charge (
    id                uuid        PRIMARY KEY,
    account_id        uuid        NOT NULL REFERENCES billing.account,
    state             text        NOT NULL CONSTRAINT charge_state_known CHECK (
                          state IN ('UNPRICED', 'BILLABLE', 'INVOICED', 'CANCELLED')
                      ),
    code              text        NOT NULL CHECK (char_length(code) BETWEEN 1 AND 32),
    currency          text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    quantity          integer     NOT NULL CHECK (quantity BETWEEN 1 AND 1000),
    service_date      date        NOT NULL CHECK (isfinite(service_date)),
    note              text        CHECK (char_length(note) BETWEEN 1 AND 500),
    -- The price, copied: what is set later does not change it.
    price_id          uuid        REFERENCES billing.price,
    description       text        CHECK (char_length(description) BETWEEN 1 AND 200),
    unit_amount       bigint      CHECK (unit_amount BETWEEN 0 AND 999999999999999),
    tax_rate_ppm      integer     CHECK (tax_rate_ppm BETWEEN 0 AND 1000000),
    amount            bigint      CHECK (amount BETWEEN 0 AND 999999999999999),
    -- Where it comes from: nowhere if somebody recorded it by hand.
    source_type       text        CHECK (source_type = 'APPOINTMENT'),
    source_id         uuid,
    source_version    bigint      CHECK (source_version >= 0),
    source_line       integer     CHECK (source_line >= 0),
    -- It is invoiced, and what it comes from says something else since.
    needs_credit_note boolean     NOT NULL DEFAULT false,
    cancelled_at      timestamptz,
    cancel_reason     text        CHECK (char_length(cancel_reason) BETWEEN 1 AND 200),
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT charge_has_its_price_whole CHECK (
        num_nulls(price_id, description, unit_amount, tax_rate_ppm, amount) IN (0, 5)
    ),
    CONSTRAINT charge_is_priced CHECK (
        CASE state WHEN 'UNPRICED' THEN price_id IS NULL
                   WHEN 'CANCELLED' THEN true
                   ELSE price_id IS NOT NULL END
    ),
    CONSTRAINT charge_amount_multiplied CHECK (amount = unit_amount * quantity),
    CONSTRAINT charge_source_whole CHECK (
        num_nulls(source_type, source_id, source_version, source_line) IN (0, 4)
    ),
    CONSTRAINT charge_cancelled_at_a_time CHECK ((state = 'CANCELLED') = (cancelled_at IS NOT NULL)),
    -- Each version of a source is charged once.
    CONSTRAINT charge_source_unique UNIQUE (source_type, source_id, source_version, source_line)
);

CREATE INDEX charge_of_account ON billing.charge (account_id, id);
CREATE INDEX charge_unpriced ON billing.charge (code, service_date) WHERE state = 'UNPRICED';
CREATE INDEX charge_in_state ON billing.charge (state, id);
CREATE INDEX charge_to_credit ON billing.charge (id) WHERE needs_credit_note;

-- The newest version of a source that charges were made of: older ones have no effect.
CREATE TABLE billing.source_mark (
    source_type text        NOT NULL CHECK (source_type = 'APPOINTMENT'),
    source_id   uuid        NOT NULL,
    version     bigint      NOT NULL CHECK (version >= 0),
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source_type, source_id)
);
