-- What patients are found by. Rust folds names, normalises numbers and makes the terms, so that a
-- patient and a query are folded by the same code; the database only compares bytes.
--
-- A term is a folded word of a name, or begins with a character that says what it is:
--   ~  a Double Metaphone code of a word of a name
--   @  a birth date, as much of it as is known: @1983-11-14
--   -  the digits of a telephone number, last one first, without zeros at its beginning
--   =  an e-mail address
CREATE TABLE patients.search_term (
    patient_id uuid    NOT NULL
        CONSTRAINT search_term_of_patient REFERENCES patients.patient (id) ON DELETE CASCADE,
    term       text    COLLATE "C" NOT NULL,
    -- The patient's, so that a page of hits is one piece of the index.
    sort_key   text    COLLATE "C" NOT NULL,
    -- All words of the patient's names, or all codes of them, each with a space before and behind:
    -- the other words of a query are looked for in the same entry of the index.
    beside     text    NOT NULL,
    restricted boolean NOT NULL,
    -- Deleted.
    gone       boolean NOT NULL,

    CONSTRAINT search_term_pkey PRIMARY KEY (term, sort_key, patient_id)
        INCLUDE (beside, restricted, gone)
);

-- The term is no part of the key: PostgreSQL would read all of it to find a range of terms.
CREATE INDEX search_term_patient ON patients.search_term (patient_id) INCLUDE (term);

-- Every word that is or was part of a name, and what becomes of it when one letter is left out:
-- a word with a typo becomes the same. No counts: patients with the same name would wait for each
-- other.
CREATE TABLE patients.vocabulary (
    term text COLLATE "C" CONSTRAINT vocabulary_pkey PRIMARY KEY
);

CREATE TABLE patients.vocabulary_deletion (
    deletion text COLLATE "C" NOT NULL,
    term     text COLLATE "C" NOT NULL
        CONSTRAINT vocabulary_deletion_of_term REFERENCES patients.vocabulary (term) ON DELETE CASCADE,

    CONSTRAINT vocabulary_deletion_pkey PRIMARY KEY (deletion, term)
);

CREATE INDEX vocabulary_deletion_term ON patients.vocabulary_deletion (term);

-- Words of the names of patients who were erased, until it was seen whether anybody else has them.
CREATE TABLE patients.word_to_forget (
    term text COLLATE "C" CONSTRAINT word_to_forget_pkey PRIMARY KEY
);

-- Whatever changes a patient's row, nobody finds who is restricted, deleted or merged away.
CREATE FUNCTION patients.follow_in_search() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    IF NEW.merged_into IS NOT NULL THEN
        DELETE FROM patients.search_term WHERE patient_id = NEW.id;
    ELSE
        UPDATE patients.search_term
        SET restricted = NEW.restricted, gone = NEW.deleted_at IS NOT NULL
        WHERE patient_id = NEW.id;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER search_follows_patient
    AFTER UPDATE OF restricted, deleted_at, merged_into ON patients.patient
    FOR EACH ROW WHEN (
        OLD.restricted <> NEW.restricted
        OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)
        OR OLD.merged_into IS DISTINCT FROM NEW.merged_into)
    EXECUTE FUNCTION patients.follow_in_search();

-- Functions of before change the columns that they know, and neither the record nor the terms:
-- search catches up with them.
CREATE FUNCTION patients.search_has_to_catch_up() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    IF OLD.record = NEW.record
        AND (OLD.name, OLD.email, OLD.address) IS DISTINCT FROM (NEW.name, NEW.email, NEW.address)
    THEN
        NEW.indexed_with := 0;
    END IF;
    RETURN NEW;
END
$$;

-- Without a condition: a column that a trigger names cannot change its type.
CREATE TRIGGER search_catches_up
    BEFORE UPDATE ON patients.patient
    FOR EACH ROW EXECUTE FUNCTION patients.search_has_to_catch_up();

REVOKE ALL ON FUNCTION patients.follow_in_search, patients.search_has_to_catch_up FROM PUBLIC;
