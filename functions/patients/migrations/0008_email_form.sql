-- Brings the addresses of before into the one form that is stored now: a domain with letters
-- beyond ASCII in Punycode (RFC 3492), and no quotes that are not needed. A row whose address
-- is then another patient's stays as it is, and so does one whose letters this database cannot
-- turn into lower case: they can be read, and get their form with the next change.
--
-- The mailbox is the same as before, so there is no new version and nobody hears of it.

CREATE FUNCTION pg_temp.punycode(label text) RETURNS text
    LANGUAGE plpgsql
AS $$
DECLARE
    digits CONSTANT text := 'abcdefghijklmnopqrstuvwxyz0123456789';
    codes  CONSTANT integer[] := ARRAY(
        SELECT ascii(letter)
        FROM unnest(string_to_array(label, NULL)) WITH ORDINALITY AS letters (letter, place)
        ORDER BY place
    );
    ascii_letters CONSTANT text := regexp_replace(label, '[^\u0001-\u007f]', '', 'g');
    encoded text := ascii_letters;
    handled integer := length(ascii_letters);
    threshold    integer := 128;
    delta   integer := 0;
    bias    integer := 72;
    code    integer;
    rest    integer;
    weight  integer;
    step    integer;
BEGIN
    IF handled = cardinality(codes) THEN
        RETURN label;
    END IF;
    IF handled > 0 THEN
        encoded := encoded || '-';
    END IF;
    WHILE handled < cardinality(codes) LOOP
        SELECT min(letter) INTO STRICT code FROM unnest(codes) AS letter WHERE letter >= threshold;
        delta := delta + (code - threshold) * (handled + 1);
        threshold := code;
        FOREACH code IN ARRAY codes LOOP
            IF code < threshold THEN
                delta := delta + 1;
            ELSIF code = threshold THEN
                rest := delta;
                step := 36;
                LOOP
                    weight := greatest(1, least(26, step - bias));
                    EXIT WHEN rest < weight;
                    encoded := encoded
                        || substr(digits, weight + (rest - weight) % (36 - weight) + 1, 1);
                    rest := (rest - weight) / (36 - weight);
                    step := step + 36;
                END LOOP;
                encoded := encoded || substr(digits, rest + 1, 1);
                delta := CASE WHEN handled = length(ascii_letters) THEN delta / 700 ELSE delta / 2 END;
                delta := delta + delta / (handled + 1);
                bias := 0;
                WHILE delta > 455 LOOP
                    delta := delta / 35;
                    bias := bias + 36;
                END LOOP;
                bias := bias + 36 * delta / (delta + 38);
                delta := 0;
                handled := handled + 1;
            END IF;
        END LOOP;
        delta := delta + 1;
        threshold := threshold + 1;
    END LOOP;
    RETURN 'xn--' || encoded;
END
$$;

CREATE FUNCTION pg_temp.email_form(email text) RETURNS text
    LANGUAGE plpgsql
AS $$
DECLARE
    local_part text := regexp_replace(email, '@[^@]*$', '');
    domain text := substring(email FROM '@([^@]*)$');
BEGIN
    IF local_part ~ '^"[A-Za-z0-9!#$%&''*+/=^_`{|}~-]+(\.[A-Za-z0-9!#$%&''*+/=^_`{|}~-]+)*"$' THEN
        local_part := trim(BOTH '"' FROM local_part);
    END IF;
    IF domain ~ '[^\u0001-\u007f]' AND lower('Ü') = 'ü' THEN
        SELECT string_agg(pg_temp.punycode(label), '.' ORDER BY place) INTO STRICT domain
        FROM unnest(string_to_array(lower(normalize(domain, NFKC)), '.'))
            WITH ORDINALITY AS labels (label, place);
    END IF;
    RETURN local_part || '@' || domain;
END
$$;

DO $$
DECLARE
    other record;
BEGIN
    FOR other IN
        SELECT id, pg_temp.email_form(email) AS form FROM patients.patient
        WHERE email LIKE '"%' OR email ~ '[^\u0001-\u007f]'
    LOOP
        BEGIN
            UPDATE patients.patient SET email = other.form
            WHERE id = other.id AND email <> other.form AND char_length(other.form) <= 254;
        EXCEPTION WHEN unique_violation THEN
            NULL;
        END;
    END LOOP;
END
$$;

DROP FUNCTION pg_temp.email_form(text);
DROP FUNCTION pg_temp.punycode(text);
