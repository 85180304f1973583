-- Three roles, none of which logs in: the connecting role takes one of them on each connection.
--   dash_owner   owns the operational tables; used by migrations alone
--   dash_app     pages and REST: sees one team at a time, the one named in app.team_id
--   dash_ingest  receiver and workers: sees every team, owns the silver tables
-- Roles belong to the cluster, so another database may have made them already.
DO $$
DECLARE wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['dash_owner', 'dash_app', 'dash_ingest'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS', wanted);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
      END;
    END IF;
    -- From PostgreSQL 16 on who makes a role is its member, but may not take it until granted so.
    IF NOT pg_has_role(current_user, wanted, CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END) THEN
      EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
    END IF;
  END LOOP;
  EXECUTE format('GRANT CREATE ON DATABASE %I TO dash_owner, dash_ingest', current_database());
END $$;

-- Made before the first migration, for the table that says which ones have run.
ALTER SCHEMA dash OWNER TO dash_owner;
ALTER TABLE dash.alembic_version OWNER TO dash_owner;
GRANT USAGE ON SCHEMA dash TO dash_app, dash_ingest;
-- A schema of dash_owner's that others may not create in is what SECURITY DEFINER functions may trust as their search path.
SET LOCAL search_path = dash, pg_temp;
SET LOCAL ROLE dash_owner;

-- People ------------------------------------------------------------------------------------------------------------

CREATE TABLE teams (
  id uuid PRIMARY KEY,
  slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z][a-z0-9_]{0,40}$'),
  name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE users (
  id uuid PRIMARY KEY,
  email text NOT NULL UNIQUE CHECK (email = lower(email)),
  name text NOT NULL,
  password_hash text NOT NULL,
  disabled boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE members (
  team_id uuid NOT NULL REFERENCES teams,
  user_id uuid NOT NULL REFERENCES users,
  role text NOT NULL CHECK (role IN ('viewer', 'editor', 'admin')),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (team_id, user_id)
);
CREATE INDEX members_user ON members (user_id);
CREATE TABLE browser_sessions (
  hash bytea PRIMARY KEY,
  team_id uuid NOT NULL REFERENCES teams,
  user_id uuid NOT NULL REFERENCES users,
  created_at timestamptz NOT NULL DEFAULT now(),
  last_seen_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  user_agent text NOT NULL DEFAULT ''
);
CREATE INDEX browser_sessions_user ON browser_sessions (user_id);
CREATE TABLE api_tokens (
  id uuid PRIMARY KEY,
  team_id uuid NOT NULL REFERENCES teams,
  user_id uuid NOT NULL REFERENCES users,
  name text NOT NULL,
  hash bytea NOT NULL UNIQUE,
  hint text NOT NULL,
  role text NOT NULL CHECK (role IN ('viewer', 'editor', 'admin')),
  created_at timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz,
  revoked_at timestamptz
);
CREATE INDEX api_tokens_team ON api_tokens (team_id, user_id);
CREATE TABLE audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  team_id uuid NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  actor uuid,
  actor_email text NOT NULL DEFAULT '',
  action text NOT NULL,
  target text NOT NULL DEFAULT '',
  detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_team ON audit (team_id, id DESC);
CREATE TABLE idempotency_keys (
  team_id uuid NOT NULL,
  key text NOT NULL,
  request bytea NOT NULL,
  status int,
  answer bytea,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (team_id, key)
);

-- Catalog -----------------------------------------------------------------------------------------------------------

CREATE TABLE pipelines (
  id uuid PRIMARY KEY,
  team_id uuid NOT NULL REFERENCES teams,
  slug text NOT NULL CHECK (slug ~ '^[a-z][a-z0-9_]{0,40}$'),
  name text NOT NULL,
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'archived')),
  source_kind text NOT NULL,
  source_options jsonb NOT NULL DEFAULT '{}',
  mapping_version int,
  retention jsonb NOT NULL DEFAULT '{}',
  note text NOT NULL DEFAULT '',
  revision int NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text NOT NULL DEFAULT ''
);
-- An archived pipeline gives its slug free.
CREATE UNIQUE INDEX pipelines_slug ON pipelines (team_id, slug) WHERE state <> 'archived';
CREATE TABLE secrets (
  team_id uuid NOT NULL,
  owner uuid NOT NULL,
  name text NOT NULL,
  slot int NOT NULL DEFAULT 0,
  value bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (owner, name, slot)
);
CREATE TABLE mappings (
  team_id uuid NOT NULL,
  pipeline_id uuid NOT NULL REFERENCES pipelines,
  version int NOT NULL,
  document jsonb NOT NULL,
  note text NOT NULL DEFAULT '',
  author text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (pipeline_id, version)
);
CREATE TABLE silver_versions (
  team_id uuid NOT NULL,
  pipeline_id uuid NOT NULL,
  version int NOT NULL,
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'history', 'dropped')),
  schema_name text NOT NULL,
  table_name text NOT NULL,
  dims text[] NOT NULL DEFAULT '{}',
  created boolean NOT NULL DEFAULT false,
  PRIMARY KEY (pipeline_id, version),
  FOREIGN KEY (pipeline_id, version) REFERENCES mappings
);
CREATE TABLE dashboards (
  id uuid PRIMARY KEY,
  team_id uuid NOT NULL REFERENCES teams,
  uid text NOT NULL CHECK (uid ~ '^[a-z][a-z0-9_]{0,40}$'),
  title text NOT NULL,
  document jsonb NOT NULL,
  revision int NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  updated_by text NOT NULL DEFAULT '',
  UNIQUE (team_id, uid)
);

-- The durable inbox -------------------------------------------------------------------------------------------------

-- A payload's id is its time by this database's clock (milliseconds, 43 bits) and a sequence (20 bits): ids sort by
-- arrival, name their partition, and no two nodes' clocks can disagree about them.
CREATE SEQUENCE payload_sequence AS bigint CYCLE MINVALUE 0 START 0 MAXVALUE 9007199254740991 CACHE 1;
CREATE FUNCTION next_payload_id() RETURNS bigint LANGUAGE sql VOLATILE
  RETURN (extract(epoch FROM clock_timestamp()) * 1000)::bigint << 20 | (nextval('dash.payload_sequence') & 1048575);

CREATE TABLE payloads (
  id bigint NOT NULL PRIMARY KEY,
  team_id uuid NOT NULL,
  pipeline_id uuid NOT NULL,
  received_at timestamptz NOT NULL,
  content_type text NOT NULL,
  headers text NOT NULL,
  source text NOT NULL,
  body bytea NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX payloads_pipeline ON payloads (pipeline_id, id);
-- Bodies rest here for an hour or so: the quick compression where the server has it, and none rather than the slow one.
DO $$ BEGIN
  ALTER TABLE payloads ALTER COLUMN body SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
  ALTER TABLE payloads ALTER COLUMN body SET STORAGE EXTERNAL;
END $$;
-- Never used while maintenance keeps partitions ahead; a payload that finds none must still be accepted.
CREATE TABLE payloads_default PARTITION OF payloads DEFAULT;

-- What is still to map: one row for all payloads that one commit brought to one pipeline.
CREATE TABLE batches (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  team_id uuid NOT NULL,
  pipeline_id uuid NOT NULL,
  payload_ids bigint[] NOT NULL,
  bytes bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_threshold = -1);
CREATE INDEX batches_pipeline ON batches (pipeline_id, id);
-- What is still to archive: the same, for the bronze writer.
CREATE TABLE unarchived (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  team_id uuid NOT NULL,
  pipeline_id uuid NOT NULL,
  payload_ids bigint[] NOT NULL,
  bytes bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_threshold = -1);
CREATE INDEX unarchived_pipeline ON unarchived (pipeline_id, id);
-- A claim that is being worked on; it outlives the worker that made it, so that a payload that kills workers is noticed.
CREATE TABLE attempts (
  pipeline_id uuid PRIMARY KEY,
  team_id uuid NOT NULL,
  first_batch bigint NOT NULL,
  count int NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- Deliveries seen, so that a resend is known for one. Apart from the inbox: a unique key cannot span its partitions.
CREATE TABLE delivery_ledger (
  pipeline_id uuid NOT NULL,
  delivery_id text NOT NULL,
  team_id uuid NOT NULL,
  payload_id bigint NOT NULL,
  PRIMARY KEY (pipeline_id, delivery_id)
);
-- The ledger is pruned by age, and a payload's id is its age.
CREATE INDEX delivery_ledger_age ON delivery_ledger USING brin (payload_id);

-- Doorbell ----------------------------------------------------------------------------------------------------------

-- The queue library's tables, as its PostgreSQL storage names them (prefix 'huey'). A queue is a doorbell, not a truth.
CREATE TABLE huey_kv (queue text NOT NULL, key text NOT NULL, value bytea NOT NULL, PRIMARY KEY (queue, key));
CREATE TABLE huey_schedule (id bigserial PRIMARY KEY, queue text NOT NULL, data bytea NOT NULL, timestamp double precision NOT NULL);
CREATE INDEX huey_schedule_queue_timestamp ON huey_schedule (queue, timestamp);
CREATE TABLE huey_task (id bigserial PRIMARY KEY, queue text NOT NULL, data bytea NOT NULL, priority double precision NOT NULL DEFAULT 0.0)
  WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX huey_task_queue_priority_id ON huey_task (queue, priority DESC, id);
CREATE TABLE huey_counter (queue text NOT NULL, key text NOT NULL, value bigint NOT NULL DEFAULT 0, PRIMARY KEY (queue, key));

-- An unanswered ring of a pipeline.
CREATE TABLE bells (
  pipeline_id uuid PRIMARY KEY,
  rung_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- A queued task as the worker's serializer reads it: [id, name, eta, retries, retry_delay, priority, args].
CREATE FUNCTION enqueue(queue text, task text, argument text, priority double precision DEFAULT 0) RETURNS void
LANGUAGE sql VOLATILE AS $$
  INSERT INTO huey_task (queue, data, priority) VALUES (
    queue,
    convert_to(json_build_array(gen_random_uuid()::text, task, NULL, 0, 0, NULL, json_build_array(argument))::text, 'UTF8'),
    priority);
  SELECT pg_notify('huey.q.' || queue, '');
$$;

CREATE FUNCTION ring(wanted uuid[]) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE one uuid;
BEGIN
  -- Sorted, so that two commits ringing the same bells never wait for each other in a circle.
  FOR one IN SELECT DISTINCT w FROM unnest(wanted) AS w ORDER BY w LOOP
    LOOP
      INSERT INTO bells (pipeline_id) VALUES (one) ON CONFLICT DO NOTHING;
      IF FOUND THEN
        PERFORM enqueue('ingest', 'dash_app.pipelines.tasks.ingest', one::text);
        EXIT;
      END IF;
      -- Rung and not yet answered. Holding the bell until this commit makes the worker that answers it wait for these
      -- rows; without that the ring falls between two transactions. If it was answered meanwhile, ring anew.
      PERFORM 1 FROM bells WHERE pipeline_id = one ORDER BY pipeline_id FOR KEY SHARE;
      EXIT WHEN FOUND;
    END LOOP;
  END LOOP;
END $$;

CREATE FUNCTION ring_for_batches() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM dash.ring(ARRAY(SELECT DISTINCT pipeline_id FROM added));
  RETURN NULL;
END $$;
ALTER FUNCTION ring(uuid[]) SET search_path = dash, pg_temp;
ALTER FUNCTION enqueue(text, text, text, double precision) SET search_path = dash, pg_temp;
CREATE TRIGGER ring_for_batches AFTER INSERT ON batches
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ring_for_batches();

-- The one door: stores payloads, knows resends, notes the work, rings. One call is one transaction of a group commit.
-- All arrays have the same length; `delivery` NULL: no duplicate detection. Answers in the order of the arrays.
CREATE FUNCTION accept_payloads(
  pipeline uuid[], team uuid[], delivery text[], content_type text[], header text[], source text[], body bytea[]
) RETURNS TABLE (payload bigint, duplicate boolean) LANGUAGE plpgsql VOLATILE SET search_path = dash, pg_temp AS $$
DECLARE
  n CONSTANT int := cardinality(pipeline);
  ids bigint[] := ARRAY(SELECT next_payload_id() FROM generate_series(1, n));
  kept bigint[] := ids;
  arrived CONSTANT timestamptz := clock_timestamp();
BEGIN
  IF array_remove(delivery, NULL) <> '{}' THEN
    INSERT INTO delivery_ledger (pipeline_id, delivery_id, team_id, payload_id)
      SELECT d.p, d.d, (array_agg(d.t))[1], min(ids[d.ord])
      FROM unnest(pipeline, delivery, team) WITH ORDINALITY AS d(p, d, t, ord) WHERE d.d IS NOT NULL
      GROUP BY d.p, d.d ORDER BY d.p, d.d
      ON CONFLICT DO NOTHING;
    -- A later statement, so that it sees what another transaction committed while the insert waited for it.
    kept := ARRAY(
      SELECT coalesce(l.payload_id, ids[i.ord]) FROM unnest(pipeline, delivery) WITH ORDINALITY AS i(p, d, ord)
      LEFT JOIN delivery_ledger l ON l.pipeline_id = i.p AND l.delivery_id = i.d ORDER BY i.ord);
  END IF;
  INSERT INTO payloads (id, team_id, pipeline_id, received_at, content_type, headers, source, body)
    SELECT i.id, i.t, i.p, arrived, i.c, i.h, i.s, i.b
    FROM unnest(ids, kept, team, pipeline, content_type, header, source, body) AS i(id, k, t, p, c, h, s, b)
    WHERE i.id = i.k;
  WITH fresh AS (
    SELECT i.t, i.p, array_agg(i.id ORDER BY i.id) AS payload_ids, sum(octet_length(i.b)) AS bytes
    FROM unnest(ids, kept, team, pipeline, body) AS i(id, k, t, p, b) WHERE i.id = i.k GROUP BY i.p, i.t
  ), archive AS (
    INSERT INTO unarchived (team_id, pipeline_id, payload_ids, bytes) SELECT t, p, payload_ids, bytes FROM fresh
  )
  INSERT INTO batches (team_id, pipeline_id, payload_ids, bytes) SELECT t, p, payload_ids, bytes FROM fresh ORDER BY p;
  RETURN QUERY SELECT i.k, i.id <> i.k FROM unnest(ids, kept) WITH ORDINALITY AS i(id, k, ord) ORDER BY i.ord;
END $$;

-- Ledgers -----------------------------------------------------------------------------------------------------------

CREATE TABLE pipeline_counts (
  pipeline_id uuid PRIMARY KEY,
  team_id uuid NOT NULL,
  payloads bigint NOT NULL DEFAULT 0,
  records bigint NOT NULL DEFAULT 0,
  rejects bigint NOT NULL DEFAULT 0,
  last_received timestamptz,
  last_ingested timestamptz
) WITH (fillfactor = 50);
CREATE TABLE rejects (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  team_id uuid NOT NULL,
  pipeline_id uuid NOT NULL,
  payload bigint NOT NULL,
  index int NOT NULL,
  field text NOT NULL,
  reason text NOT NULL,
  excerpt text NOT NULL DEFAULT '',
  mapping_version int NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX rejects_pipeline ON rejects (pipeline_id, id DESC);
CREATE INDEX rejects_recent ON rejects (team_id, at);
CREATE TABLE bronze_files (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  team_id uuid NOT NULL,
  pipeline_id uuid NOT NULL,
  key text NOT NULL UNIQUE,
  rows int NOT NULL,
  bytes bigint NOT NULL,
  checksum text NOT NULL,
  min_payload bigint NOT NULL,
  max_payload bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX bronze_files_pipeline ON bronze_files (pipeline_id, min_payload, max_payload);
CREATE INDEX bronze_files_newest ON bronze_files (pipeline_id, max_payload, id);
CREATE TABLE polls (
  pipeline_id uuid PRIMARY KEY REFERENCES pipelines,
  team_id uuid NOT NULL,
  cursor jsonb NOT NULL DEFAULT '{}',
  next_due timestamptz NOT NULL DEFAULT now(),
  failures int NOT NULL DEFAULT 0,
  queued_at timestamptz
) WITH (fillfactor = 50);
CREATE INDEX polls_due ON polls (next_due);
CREATE TABLE runs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  team_id uuid NOT NULL,
  pipeline_id uuid NOT NULL,
  kind text NOT NULL,
  state text NOT NULL CHECK (state IN ('running', 'done', 'failed', 'lost')),
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at timestamptz,
  pages int NOT NULL DEFAULT 0,
  payloads int NOT NULL DEFAULT 0,
  bytes bigint NOT NULL DEFAULT 0,
  error text NOT NULL DEFAULT ''
);
CREATE INDEX runs_pipeline ON runs (pipeline_id, id DESC);
CREATE INDEX runs_running ON runs (state) WHERE state = 'running';
CREATE TABLE heartbeats (
  node text PRIMARY KEY,
  role text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  seen_at timestamptz NOT NULL DEFAULT now(),
  detail jsonb NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);

-- Row security ------------------------------------------------------------------------------------------------------

CREATE FUNCTION current_team() RETURNS uuid LANGUAGE sql STABLE
  RETURN nullif(current_setting('app.team_id', true), '')::uuid;

DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['members', 'browser_sessions', 'api_tokens', 'audit', 'idempotency_keys', 'pipelines', 'secrets', 'mappings',
      'silver_versions', 'dashboards', 'payloads', 'payloads_default', 'batches', 'unarchived', 'attempts', 'delivery_ledger',
      'pipeline_counts', 'rejects', 'bronze_files', 'polls', 'runs'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY team ON %I FOR ALL TO dash_app USING (team_id = dash.current_team()) WITH CHECK (team_id = dash.current_team())', t);
    EXECUTE format('CREATE POLICY everyone ON %I FOR ALL TO dash_ingest USING (true) WITH CHECK (true)', t);
  END LOOP;
END $$;
-- Teams and users are known by their members: row security there goes by membership.
ALTER TABLE teams ENABLE ROW LEVEL SECURITY;
ALTER TABLE teams FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON teams FOR SELECT TO dash_app USING (id = dash.current_team());
CREATE POLICY everyone ON teams FOR ALL TO dash_ingest USING (true) WITH CHECK (true);
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON users FOR SELECT TO dash_app USING (EXISTS (SELECT FROM dash.members m WHERE m.user_id = users.id));
CREATE POLICY everyone ON users FOR ALL TO dash_ingest USING (true) WITH CHECK (true);

GRANT SELECT ON teams TO dash_app;
GRANT SELECT (id, email, name, disabled, created_at) ON users TO dash_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON members, browser_sessions, api_tokens, idempotency_keys, secrets, polls TO dash_app;
GRANT SELECT, INSERT ON audit TO dash_app;
GRANT SELECT, INSERT, UPDATE ON pipelines, mappings, silver_versions TO dash_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON dashboards TO dash_app;
GRANT SELECT ON payloads, batches, unarchived, pipeline_counts, rejects, bronze_files, runs TO dash_app;
GRANT SELECT ON heartbeats, bells, huey_task TO dash_app;
GRANT ALL ON ALL TABLES IN SCHEMA dash TO dash_ingest;
REVOKE UPDATE, DELETE, TRUNCATE ON audit FROM dash_ingest;
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON alembic_version FROM dash_ingest;
GRANT SELECT ON alembic_version TO dash_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA dash TO dash_app, dash_ingest;

-- Before a team is known --------------------------------------------------------------------------------------------

-- Narrow look-ups that answer one row for one secret. They run as dash_ingest, since even the owner is under row security.
RESET ROLE;
SET LOCAL ROLE dash_owner;
GRANT CREATE ON SCHEMA dash TO dash_ingest;
RESET ROLE;
SET LOCAL ROLE dash_ingest;

CREATE FUNCTION find_login(wanted text) RETURNS TABLE (user_id uuid, email text, name text, password_hash text, disabled boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = dash, pg_temp AS $$
  SELECT id, email, name, password_hash, disabled FROM users WHERE email = lower(wanted) $$;

CREATE FUNCTION teams_of(wanted uuid) RETURNS TABLE (team_id uuid, slug text, name text, role text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = dash, pg_temp AS $$
  SELECT t.id, t.slug, t.name, m.role FROM members m JOIN teams t ON t.id = m.team_id WHERE m.user_id = wanted ORDER BY t.created_at $$;

CREATE FUNCTION find_session(wanted bytea)
RETURNS TABLE (user_id uuid, email text, name text, team_id uuid, team_slug text, team_name text, role text, seconds_since_seen double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = dash, pg_temp AS $$
  SELECT u.id, u.email, u.name, t.id, t.slug, t.name, m.role, extract(epoch FROM now() - s.last_seen_at)::float8
  FROM browser_sessions s JOIN users u ON u.id = s.user_id JOIN teams t ON t.id = s.team_id
  JOIN members m ON m.team_id = s.team_id AND m.user_id = s.user_id
  WHERE s.hash = wanted AND s.expires_at > now() AND NOT u.disabled $$;

CREATE FUNCTION touch_session(wanted bytea) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = dash, pg_temp AS $$
  UPDATE browser_sessions SET last_seen_at = now() WHERE hash = wanted $$;

CREATE FUNCTION find_token(wanted bytea)
RETURNS TABLE (token_id uuid, user_id uuid, email text, name text, team_id uuid, team_slug text, team_name text, role text, member_role text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = dash, pg_temp AS $$
  SELECT k.id, u.id, u.email, u.name, t.id, t.slug, t.name, k.role, m.role
  FROM api_tokens k JOIN users u ON u.id = k.user_id JOIN teams t ON t.id = k.team_id
  JOIN members m ON m.team_id = k.team_id AND m.user_id = k.user_id
  WHERE k.hash = wanted AND k.revoked_at IS NULL AND NOT u.disabled $$;

CREATE FUNCTION touch_token(wanted bytea) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = dash, pg_temp AS $$
  UPDATE api_tokens SET last_used_at = now() WHERE hash = wanted AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute') $$;

RESET ROLE;
SET LOCAL ROLE dash_owner;
REVOKE CREATE ON SCHEMA dash FROM dash_ingest;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA dash FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dash TO dash_ingest;
RESET ROLE;
SET LOCAL ROLE dash_ingest;
GRANT EXECUTE ON FUNCTION find_login(text), teams_of(uuid), find_session(bytea), touch_session(bytea), find_token(bytea), touch_token(bytea) TO dash_app;
REVOKE EXECUTE ON FUNCTION find_login(text), teams_of(uuid), find_session(bytea), touch_session(bytea), find_token(bytea), touch_token(bytea) FROM PUBLIC;
RESET ROLE;
SET LOCAL ROLE dash_owner;
GRANT EXECUTE ON FUNCTION current_team() TO dash_app;

-- Partitions --------------------------------------------------------------------------------------------------------

-- Hour partitions from now until `ahead` hours from now. Runs as the owner of the inbox, whoever calls.
CREATE FUNCTION ensure_payload_partitions(ahead int DEFAULT 3) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = dash, pg_temp AS $$
DECLARE
  hour timestamptz; part text; made int := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('dash.payload_partitions'));
  FOR hour IN SELECT generate_series(date_trunc('hour', now(), 'UTC'), date_trunc('hour', now(), 'UTC') + make_interval(hours => ahead), interval '1 hour') LOOP
    part := 'payloads_' || to_char(hour AT TIME ZONE 'UTC', 'YYYYMMDDHH24');
    CONTINUE WHEN to_regclass('dash.' || part) IS NOT NULL;
    EXECUTE format('CREATE TABLE %I (LIKE payloads INCLUDING ALL)', part);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', part);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', part);
    EXECUTE format('CREATE POLICY team ON %I FOR ALL TO dash_app USING (team_id = dash.current_team()) WITH CHECK (team_id = dash.current_team())', part);
    EXECUTE format('CREATE POLICY everyone ON %I FOR ALL TO dash_ingest USING (true) WITH CHECK (true)', part);
    EXECUTE format('ALTER TABLE payloads ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', part,
      (extract(epoch FROM hour) * 1000)::bigint << 20, (extract(epoch FROM hour + interval '1 hour') * 1000)::bigint << 20);
    made := made + 1;
  END LOOP;
  RETURN made;
END $$;

-- The hour partitions that end before `before` (an id), oldest first: (name, first id, first id after it).
CREATE FUNCTION payload_partitions(before bigint) RETURNS TABLE (part text, low bigint, high bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = dash, pg_temp AS $$
  SELECT c.relname::text, b.low, b.low + (3600000::bigint << 20)
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  CROSS JOIN LATERAL (SELECT (extract(epoch FROM to_timestamp(substr(c.relname, 10), 'YYYYMMDDHH24')::timestamp AT TIME ZONE 'UTC') * 1000)::bigint << 20 AS low) b
  WHERE i.inhparent = 'dash.payloads'::regclass AND c.relname ~ '^payloads_[0-9]{10}$' AND b.low + (3600000::bigint << 20) <= before
  ORDER BY 2 $$;

CREATE FUNCTION drop_payload_partition(part text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = dash, pg_temp AS $$
BEGIN
  IF part !~ '^payloads_[0-9]{10}$' THEN RAISE EXCEPTION 'not a payload partition: %', part; END IF;
  SET LOCAL lock_timeout = '500ms';
  EXECUTE format('ALTER TABLE payloads DETACH PARTITION %I', part);
  EXECUTE format('DROP TABLE %I', part);
END $$;
REVOKE EXECUTE ON FUNCTION ensure_payload_partitions(int), payload_partitions(bigint), drop_payload_partition(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_payload_partitions(int), payload_partitions(bigint), drop_payload_partition(text) TO dash_ingest;

RESET ROLE;
SELECT dash.ensure_payload_partitions();
SET LOCAL search_path = "$user", public;
