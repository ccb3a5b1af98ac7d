-- Who somebody is, for people: an address need not tell.
ALTER TABLE auth.user_account
    ADD COLUMN name text
        CONSTRAINT user_account_name_bounded CHECK (char_length(name) BETWEEN 1 AND 100);

-- Whom these accounts belong to, those without a name left out. Other services, which know people
-- by their ids, call it, and do not know how accounts are stored.
CREATE FUNCTION auth.names_of(user_ids uuid[]) RETURNS TABLE (user_id uuid, name text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT account.id, account.name
    FROM auth.user_account account
    WHERE account.id = ANY (names_of.user_ids) AND account.name IS NOT NULL;
END;
