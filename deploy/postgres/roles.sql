-- Two roles for scrip on PostgreSQL: one that owns the tables and migrates, and one that the service works as, which can
-- change no row of a ledger, an idempotency record or the audit log, nor delete one, whatever goes wrong in it.
--
--   CREATE DATABASE scrip;                                        -- as an administrator, once
--   psql --dbname scrip --file deploy/postgres/roles.sql          -- as an administrator: makes the roles
--   \password scrip_owner                                         -- in psql, and the same for scrip_service
--   scrip migrate                                                 -- SCRIP_DATABASE_URL with scrip_owner
--   psql --dbname scrip --file deploy/postgres/roles.sql          -- again, after every migration: grants on new tables
--   scrip serve --no-migrate                                      -- SCRIP_DATABASE_URL with scrip_service
--
-- It can be run as often as you like. What it grants is tested: the service does all it does with no more than this.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'scrip_owner') THEN
        CREATE ROLE scrip_owner LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'scrip_service') THEN
        CREATE ROLE scrip_service LOGIN;
    END IF;
END
$$;

-- Nobody else has anything to do here.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO scrip_owner;
GRANT USAGE ON SCHEMA public TO scrip_service;

-- Everything may be read and added to, also what a migration adds while the version before still serves …
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO scrip_service;
ALTER DEFAULT PRIVILEGES FOR ROLE scrip_owner IN SCHEMA public GRANT SELECT, INSERT ON TABLES TO scrip_service;
-- … numbers for new accounts are drawn before their rows are written …
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO scrip_service;
ALTER DEFAULT PRIVILEGES FOR ROLE scrip_owner IN SCHEMA public GRANT USAGE ON SEQUENCES TO scrip_service;

-- … and changed or deleted only what is named here. Not named, and so only ever added to: ts_financial_transactions,
-- ts_points_detail, scrip_requests, scrip_task_attempts, scrip_audit_log.
DO $$
DECLARE
    -- Tables, and what may be done to them beside reading and adding.
    granted CONSTANT text[][] := ARRAY[
        ['UPDATE', 'ts_users'],
        ['UPDATE', 'ts_fal_tasks'],
        ['UPDATE', 'ts_fal_account'],
        ['UPDATE', 'scrip_workspaces'],
        ['UPDATE', 'scrip_account_keys'],
        ['UPDATE', 'scrip_leases'],
        ['UPDATE', 'scrip_reconciliations'],
        ['UPDATE', 'scrip_reconciliation_fetches'],
        -- The evidence itself stays as it came: only where it was last seen is noted.
        ['UPDATE (account_id, pass, page)', 'scrip_billing_events'],
        ['UPDATE (applied_at)', 'scrip_reconciliation_costs'],
        ['UPDATE', 'scrip_leader_leases'],
        ['UPDATE', 'scrip_tokens'],
        -- Batch ids that nobody asks for any more; what a run found, when it judges anew.
        ['DELETE', 'scrip_commits'],
        ['DELETE', 'scrip_findings'],
        ['DELETE', 'scrip_reconciliation_rows'],
        ['DELETE', 'scrip_reconciliation_costs'],
        ['DELETE', 'scrip_leader_leases']
    ];
    pair text[];
BEGIN
    FOREACH pair SLICE 1 IN ARRAY granted LOOP
        -- Before the first migration there are no tables yet.
        IF to_regclass(format('public.%I', pair[2])) IS NOT NULL THEN
            EXECUTE format('GRANT %s ON %I TO scrip_service', pair[1], pair[2]);
        END IF;
    END LOOP;
END
$$;

-- Only migrations say which schema this is.
DO $$
BEGIN
    IF to_regclass('public.scrip_schema') IS NOT NULL THEN
        REVOKE INSERT ON scrip_schema FROM scrip_service;
    END IF;
END
$$;
