-- Two roles for scrip on PostgreSQL: one that owns the tables and migrates, and one that the service works as, which can
-- change no row of a ledger, an idempotency record or the audit log, nor delete one, whatever goes wrong in it.
--
--   CREATE DATABASE scrip;                                        -- as an administrator, once
--   psql --dbname scrip --file deploy/postgres/roles.sql          -- as an administrator: makes the roles
--   \password scrip_owner                                         -- in psql, and the same for scrip_service
--   scrip migrate --grant-to scrip_service                        -- SCRIP_DATABASE_URL with scrip_owner, each release
--   scrip serve --no-migrate                                      -- SCRIP_DATABASE_URL with scrip_service
--
-- It can be run as often as you like. What `migrate` grants is tested: the service does all it does with no more, and does
-- not begin with less.

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

-- An earlier form of this file granted on tables that were still to come: `migrate` does that now, table by table.
ALTER DEFAULT PRIVILEGES FOR ROLE scrip_owner IN SCHEMA public REVOKE ALL ON TABLES FROM scrip_service;
ALTER DEFAULT PRIVILEGES FOR ROLE scrip_owner IN SCHEMA public REVOKE ALL ON SEQUENCES FROM scrip_service;
