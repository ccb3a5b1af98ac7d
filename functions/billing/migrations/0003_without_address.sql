-- Patients without an e-mail address have accounts, too. Of who was erased, an account tells
-- nothing but that it was there.
ALTER TABLE billing.account
    ALTER COLUMN email DROP NOT NULL,
    ALTER COLUMN name DROP NOT NULL;
