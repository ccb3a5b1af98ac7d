-- Whoever adds to the books can have the check of an entry made early (SET CONSTRAINTS … IMMEDIATE), and
-- add a posting after it. So the entry has to sum to 0 after each statement that adds postings, too. That
-- check cannot be put off, and it adds an entry up once, not once for each posting.
CREATE OR REPLACE FUNCTION billing.close_entry() RETURNS trigger
    LANGUAGE plpgsql
AS $$
DECLARE
    unbalanced uuid;
BEGIN
    IF EXISTS (
        SELECT FROM added JOIN billing.entry ON entry.id = added.entry_id
        WHERE entry.transaction <> pg_current_xact_id()
    ) THEN
        RAISE EXCEPTION 'nothing is added to an entry later'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'posting_with_its_entry';
    END IF;
    SELECT posting.entry_id INTO unbalanced
    FROM billing.posting
    WHERE posting.entry_id IN (SELECT added.entry_id FROM added)
    GROUP BY posting.entry_id, posting.currency
    HAVING sum(posting.amount) <> 0
    LIMIT 1;
    IF unbalanced IS NOT NULL THEN
        RAISE EXCEPTION 'entry % does not sum to 0', unbalanced
            USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_balanced';
    END IF;
    RETURN NULL;
END
$$;
