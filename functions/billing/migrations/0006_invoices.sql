-- The numbers of a series are 1, 2, 3… without a gap, and their dates never fall: the row is locked
-- from the number to the end of the transaction that uses it.
CREATE TABLE billing.number_series (
    name        text   PRIMARY KEY CHECK (char_length(name) BETWEEN 1 AND 20),
    last_number bigint NOT NULL DEFAULT 0 CHECK (last_number >= 0),
    last_date   date   CHECK (isfinite(last_date))
);

CREATE TABLE billing.invoice (
    id             uuid        PRIMARY KEY,
    account_id     uuid        NOT NULL REFERENCES billing.account,
    -- 1 on creation, one more with every change: the entity tag.
    version        bigint      NOT NULL DEFAULT 1 CHECK (version > 0),
    state          text        NOT NULL DEFAULT 'DRAFT' CONSTRAINT invoice_state_known CHECK (
                       state IN ('DRAFT', 'ISSUED', 'VOID', 'WRITTEN_OFF')
                   ),
    currency       text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- The sums of its lines.
    net            bigint      NOT NULL CHECK (net BETWEEN 0 AND 999999999999999),
    tax            bigint      NOT NULL CHECK (tax BETWEEN 0 AND 999999999999999),
    total          bigint      NOT NULL CHECK (total BETWEEN 0 AND 999999999999999),
    -- What settles it. Never more than it asks for: whoever wants to add to it waits for its row.
    allocated      bigint      NOT NULL DEFAULT 0 CHECK (allocated >= 0),
    credited       bigint      NOT NULL DEFAULT 0 CHECK (credited >= 0),
    written_off    bigint      NOT NULL DEFAULT 0 CHECK (written_off >= 0),
    due            bigint      NOT NULL GENERATED ALWAYS AS (
                       CASE WHEN state IN ('ISSUED', 'WRITTEN_OFF')
                            THEN total - allocated - credited - written_off ELSE 0 END
                   ) STORED,
    series         text        REFERENCES billing.number_series,
    sequence       bigint      CHECK (sequence > 0),
    number         text        CONSTRAINT invoice_number_unique UNIQUE,
    issue_date     date        CHECK (isfinite(issue_date)),
    due_date       date        CHECK (isfinite(due_date)),
    -- Who it was issued to: copied, so that it stays what it was.
    billed_name    text,
    billed_email   text,
    billed_address text,
    created_by     uuid,
    issued_by      uuid,
    voided_by      uuid,
    written_off_by uuid,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    issued_at      timestamptz,
    voided_at      timestamptz,
    written_off_at timestamptz,
    -- Why it was voided or written off.
    reason         text        CHECK (char_length(reason) BETWEEN 1 AND 200),
    CONSTRAINT invoice_total_added_up CHECK (total = net + tax),
    CONSTRAINT invoice_settled_once CHECK (allocated + credited + written_off <= total),
    CONSTRAINT invoice_unsettled_unless_issued CHECK (
        state IN ('ISSUED', 'WRITTEN_OFF') OR (allocated = 0 AND credited = 0 AND written_off = 0)
    ),
    CONSTRAINT invoice_numbered_when_issued CHECK (
        num_nulls(series, sequence, number, issue_date, due_date, issued_at)
        = CASE state WHEN 'DRAFT' THEN 6 ELSE 0 END
    ),
    CONSTRAINT invoice_due_later CHECK (due_date >= issue_date),
    CONSTRAINT invoice_voided_at_a_time CHECK ((state = 'VOID') = (voided_at IS NOT NULL)),
    CONSTRAINT invoice_written_off_at_a_time CHECK ((state = 'WRITTEN_OFF') = (written_off_at IS NOT NULL)),
    CONSTRAINT invoice_sequence_unique UNIQUE (series, sequence)
);

CREATE INDEX invoice_of_account ON billing.invoice (account_id, id);
CREATE INDEX invoice_in_state ON billing.invoice (state, id);
CREATE INDEX invoice_due ON billing.invoice (due_date, id) WHERE due > 0;

CREATE TABLE billing.invoice_line (
    id           uuid    PRIMARY KEY,
    invoice_id   uuid    NOT NULL REFERENCES billing.invoice,
    position     integer NOT NULL CHECK (position BETWEEN 1 AND 200),
    charge_id    uuid    NOT NULL REFERENCES billing.charge,
    code         text    NOT NULL,
    description  text    NOT NULL,
    service_date date    NOT NULL,
    quantity     integer NOT NULL CHECK (quantity > 0),
    unit_amount  bigint  NOT NULL CHECK (unit_amount >= 0),
    discount     bigint  NOT NULL CHECK (discount >= 0),
    net          bigint  NOT NULL CHECK (net >= 0),
    tax_rate_ppm integer NOT NULL CHECK (tax_rate_ppm BETWEEN 0 AND 1000000),
    tax          bigint  NOT NULL CHECK (tax >= 0),
    total        bigint  NOT NULL CHECK (total BETWEEN 0 AND 999999999999999),
    -- Not of an invoice that was voided: the charge may be on another one.
    live         boolean NOT NULL DEFAULT true,
    CONSTRAINT invoice_line_net_of_discount CHECK (net = unit_amount * quantity - discount),
    CONSTRAINT invoice_line_tax_rounded_half_up
        CHECK (tax = div(net::numeric * tax_rate_ppm + 500000, 1000000)),
    CONSTRAINT invoice_line_total_added_up CHECK (total = net + tax),
    CONSTRAINT invoice_line_position_unique UNIQUE (invoice_id, position)
);

-- Nothing is invoiced twice.
CREATE UNIQUE INDEX invoice_line_charge_once ON billing.invoice_line (charge_id) WHERE live;
CREATE INDEX invoice_line_of_charge ON billing.invoice_line (charge_id);

-- A draft is changed at will. What was issued stays: only what settles it goes on, and whether it stands.
CREATE FUNCTION billing.keep_issued_invoice() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.state <> 'DRAFT' THEN
            RAISE EXCEPTION 'an invoice that was issued is never removed'
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF OLD.state <> 'DRAFT' AND (
        (NEW.id, NEW.account_id, NEW.currency, NEW.net, NEW.tax, NEW.total, NEW.series, NEW.sequence,
         NEW.number, NEW.issue_date, NEW.due_date, NEW.billed_name, NEW.billed_email,
         NEW.billed_address, NEW.created_by, NEW.issued_by, NEW.created_at, NEW.issued_at)
        IS DISTINCT FROM
        (OLD.id, OLD.account_id, OLD.currency, OLD.net, OLD.tax, OLD.total, OLD.series, OLD.sequence,
         OLD.number, OLD.issue_date, OLD.due_date, OLD.billed_name, OLD.billed_email,
         OLD.billed_address, OLD.created_by, OLD.issued_by, OLD.created_at, OLD.issued_at)
        OR (NEW.state <> OLD.state AND (OLD.state <> 'ISSUED' OR NEW.state = 'DRAFT'))
    ) THEN
        RAISE EXCEPTION 'an invoice that was issued is never changed'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state = 'DRAFT' AND NEW.state <> 'DRAFT' AND NOT EXISTS (
        SELECT FROM billing.invoice_line WHERE invoice_id = NEW.id
        HAVING sum(net) = NEW.net AND sum(tax) = NEW.tax
    ) THEN
        RAISE EXCEPTION 'an invoice is not issued with other totals than its lines have'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER invoice_is_kept BEFORE UPDATE OR DELETE ON billing.invoice
    FOR EACH ROW EXECUTE FUNCTION billing.keep_issued_invoice();
CREATE TRIGGER invoice_is_not_emptied BEFORE TRUNCATE ON billing.invoice
    FOR EACH STATEMENT EXECUTE FUNCTION billing.refuse_change();

CREATE FUNCTION billing.keep_issued_line() RETURNS trigger
    LANGUAGE plpgsql
AS $$
DECLARE
    its_invoice uuid := CASE TG_OP WHEN 'INSERT' THEN NEW.invoice_id ELSE OLD.invoice_id END;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.invoice_id <> OLD.invoice_id THEN
        RAISE EXCEPTION 'a line stays on its invoice' USING ERRCODE = 'restrict_violation';
    END IF;
    IF (SELECT state FROM billing.invoice WHERE id = its_invoice) <> 'DRAFT' THEN
        -- A line of an invoice that is voided frees its charge; nothing else of it changes.
        IF TG_OP = 'UPDATE' AND OLD.live AND NOT NEW.live THEN
            NEW.live := true;
            IF NEW IS NOT DISTINCT FROM OLD THEN
                NEW.live := false;
                RETURN NEW;
            END IF;
        END IF;
        RAISE EXCEPTION 'a line of an invoice that was issued is never changed or removed'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;

CREATE TRIGGER invoice_line_is_kept BEFORE INSERT OR UPDATE OR DELETE ON billing.invoice_line
    FOR EACH ROW EXECUTE FUNCTION billing.keep_issued_line();
CREATE TRIGGER invoice_line_is_not_emptied BEFORE TRUNCATE ON billing.invoice_line
    FOR EACH STATEMENT EXECUTE FUNCTION billing.refuse_change();

CREATE TABLE billing.credit_note (
    id         uuid        PRIMARY KEY,
    invoice_id uuid        NOT NULL REFERENCES billing.invoice,
    series     text        NOT NULL REFERENCES billing.number_series,
    sequence   bigint      NOT NULL CHECK (sequence > 0),
    number     text        NOT NULL CONSTRAINT credit_note_number_unique UNIQUE,
    issue_date date        NOT NULL CHECK (isfinite(issue_date)),
    net        bigint      NOT NULL CHECK (net >= 0),
    tax        bigint      NOT NULL CHECK (tax >= 0),
    total      bigint      NOT NULL CHECK (total > 0),
    reason     text        NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 200),
    issued_by  uuid,
    issued_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT credit_note_total_added_up CHECK (total = net + tax),
    CONSTRAINT credit_note_sequence_unique UNIQUE (series, sequence)
);

CREATE INDEX credit_note_of_invoice ON billing.credit_note (invoice_id, issued_at);

CREATE TABLE billing.credit_note_line (
    credit_note_id  uuid   NOT NULL REFERENCES billing.credit_note,
    invoice_line_id uuid   NOT NULL REFERENCES billing.invoice_line,
    net             bigint NOT NULL CHECK (net >= 0),
    tax             bigint NOT NULL CHECK (tax >= 0),
    total           bigint NOT NULL CHECK (total > 0),
    CONSTRAINT credit_note_line_total_added_up CHECK (total = net + tax),
    PRIMARY KEY (credit_note_id, invoice_line_id)
);

CREATE INDEX credit_note_line_of_line ON billing.credit_note_line (invoice_line_id);

CREATE TRIGGER credit_note_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON billing.credit_note
    FOR EACH STATEMENT EXECUTE FUNCTION billing.refuse_change();
CREATE TRIGGER credit_note_line_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON billing.credit_note_line
    FOR EACH STATEMENT EXECUTE FUNCTION billing.refuse_change();

-- What is given up of invoices. Large ones are only asked for, until another person grants them.
CREATE TABLE billing.write_off (
    id                     uuid        PRIMARY KEY,
    invoice_id             uuid        NOT NULL REFERENCES billing.invoice,
    state                  text        NOT NULL CONSTRAINT write_off_state_known CHECK (
                               state IN ('REQUESTED', 'GRANTED', 'SUPERSEDED')
                           ),
    amount                 bigint      NOT NULL CHECK (amount > 0),
    reason                 text        NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 200),
    second_person_required boolean     NOT NULL,
    requested_by           uuid        NOT NULL,
    requested_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    granted_by             uuid,
    granted_at             timestamptz,
    CONSTRAINT write_off_granted_at_a_time CHECK (
        num_nulls(granted_by, granted_at) = CASE state WHEN 'GRANTED' THEN 0 ELSE 2 END
    ),
    CONSTRAINT write_off_by_two CHECK (NOT second_person_required OR granted_by <> requested_by)
);

CREATE UNIQUE INDEX write_off_requested_once ON billing.write_off (invoice_id) WHERE state = 'REQUESTED';
CREATE INDEX write_off_of_invoice ON billing.write_off (invoice_id);
