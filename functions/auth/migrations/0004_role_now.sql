-- What somebody may do as things are now: NULL if there is no such account, or it is disabled.
-- Until the transaction ends, nobody changes it. Other services call it, and do not know how
-- accounts are stored.
CREATE FUNCTION auth.role_now(user_id uuid) RETURNS text
    LANGUAGE sql
BEGIN ATOMIC
    SELECT account.role
    FROM auth.user_account account
    WHERE account.id = role_now.user_id AND NOT account.disabled
    FOR SHARE;
END;
