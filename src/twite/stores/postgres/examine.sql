-- What `twite check` asks a server.

-- name: settings
SELECT name, setting FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit');

-- name: gateways
SELECT node.name, node.version, ownership.account IS NOT NULL
FROM node LEFT JOIN ownership ON ownership.node = node.id AND ownership.account = '#leader'
WHERE node.until > clock_timestamp() ORDER BY node.id;

-- name: connections
-- How many connections the server, the database and the role allow, minus those of other programs.
WITH own AS (SELECT count(*) AS open FROM pg_stat_activity WHERE application_name = 'twite'),
used AS (
  SELECT sum(numbackends) AS everywhere,
    sum(numbackends) FILTER (WHERE datname = current_database()) AS here
  FROM pg_stat_database),
allowed AS (
  SELECT sum(CASE name WHEN 'max_connections' THEN 1 ELSE -1 END * setting::int) AS most
  FROM pg_settings
  WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections'))
SELECT greatest(0, least(
  allowed.most - used.everywhere + own.open,
  (SELECT datconnlimit FROM pg_database WHERE datname = current_database() AND datconnlimit >= 0)
    - used.here + own.open,
  (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user AND rolconnlimit >= 0)))::int
FROM own, used, allowed;

-- name: may_migrate
-- Whether the role may create tables and change Twite's.
SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)
  AND coalesce((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class
    WHERE oid = to_regclass('schema_version')), true);

-- name: clock
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
