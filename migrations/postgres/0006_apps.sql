-- The models that an account is for are a list, whoever writes its row: one that cannot be read would keep all accounts
-- from being leased. NOT VALID: what is there already is looked at when it is next changed.
INSERT INTO scrip_schema (version, oldest_binary) VALUES (6, '0.1.0');

-- As a statement of its own: where accounts are a reference table, Citus hands an ALTER on with all that is sent beside it.
DO $$
BEGIN
    EXECUTE $alter$
        ALTER TABLE ts_fal_account
            ADD CONSTRAINT ts_fal_account_allowed_apps CHECK (
                jsonb_typeof(allowed_apps::jsonb) = 'array'
                AND NOT jsonb_path_exists(allowed_apps::jsonb, 'strict $[*] ? (@.type() != "string")')
            ) NOT VALID
    $alter$;
END
$$;

-- The runs of one actor, newest first: those of the schedule, whatever others were begun.
CREATE INDEX scrip_reconciliations_actor ON scrip_reconciliations (actor, id);
