-- Sinks, their pipelines, the outbox of deliveries and every attempt.
SET LOCAL search_path = dash, pg_temp;
SET LOCAL ROLE dash_owner;

CREATE TABLE sinks (
  id uuid PRIMARY KEY,
  team_id uuid NOT NULL REFERENCES teams,
  slug text NOT NULL CHECK (slug ~ '^[a-z][a-z0-9_]{0,40}$'),
  name text NOT NULL,
  kind text NOT NULL,
  options jsonb NOT NULL DEFAULT '{}',   -- without secrets, which are in the vault
  condition text NOT NULL DEFAULT '',    -- the document's `where`
  template jsonb,                        -- {"title", "body"}
  batch_size int NOT NULL DEFAULT 1 CHECK (batch_size BETWEEN 1 AND 1000),
  batch_seconds float8 NOT NULL DEFAULT 0 CHECK (batch_seconds BETWEEN 0 AND 3600),
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'disabled')),
  note text NOT NULL DEFAULT '',         -- why it is as it is
  revision int NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  created_by text NOT NULL DEFAULT '',
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_by text NOT NULL DEFAULT '',
  UNIQUE (team_id, slug)
);

-- Whose records a sink gets.
CREATE TABLE sink_pipelines (
  pipeline_id uuid NOT NULL REFERENCES pipelines,
  sink_id uuid NOT NULL REFERENCES sinks ON DELETE CASCADE,
  team_id uuid NOT NULL,
  PRIMARY KEY (pipeline_id, sink_id)
);
CREATE INDEX sink_pipelines_sink ON sink_pipelines (sink_id);

-- How a sink fares: written with every attempt, and so apart from its document. Outlives the sink until its deliveries
-- are gone.
CREATE TABLE sink_health (
  sink_id uuid PRIMARY KEY,
  team_id uuid NOT NULL,
  failures int NOT NULL DEFAULT 0,       -- attempts in a row that failed
  failing_since timestamptz,             -- the first of them
  hold_until timestamptz,                -- nothing is sent before: the other side asked for it, or the breaker is open
  sent bigint NOT NULL DEFAULT 0,
  failed bigint NOT NULL DEFAULT 0,
  sent_at timestamptz,
  failed_at timestamptz,
  error text NOT NULL DEFAULT ''         -- of the last attempt that failed
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- The outbox: one row is one message. No reference to sinks: a check for each of ten thousand rows of a commit would say
-- nothing that the commit does not know.
CREATE TABLE deliveries (
  id uuid PRIMARY KEY,                   -- the message's: msg_ and these 32 digits. Sorts by time.
  team_id uuid NOT NULL,
  sink_id uuid NOT NULL,
  pipeline_id uuid,
  type text NOT NULL CHECK (type IN ('records', 'alert', 'report', 'test')),
  origin text NOT NULL DEFAULT '',
  title text NOT NULL DEFAULT '',
  body text NOT NULL DEFAULT '',
  link text NOT NULL DEFAULT '',
  payload json NOT NULL,                 -- json, not jsonb: every attempt sends the same bytes
  records int NOT NULL DEFAULT 0,
  state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'dead', 'cancelled')),
  attempts int NOT NULL DEFAULT 0,
  next_at timestamptz NOT NULL DEFAULT clock_timestamp(), -- when it is due; while it is in hand, when the lease ends
  lease uuid,                            -- the token of the worker that has it in hand
  error text NOT NULL DEFAULT '',        -- of the last attempt, or why it is dead
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  done_at timestamptz
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX deliveries_due ON deliveries (sink_id, next_at, id) WHERE state = 'waiting';
CREATE INDEX deliveries_leased ON deliveries (team_id, sink_id) WHERE lease IS NOT NULL;
CREATE INDEX deliveries_sink ON deliveries (sink_id, id DESC);
CREATE INDEX deliveries_dead ON deliveries (sink_id, id DESC) WHERE state = 'dead';

CREATE TABLE delivery_files (
  delivery_id uuid NOT NULL REFERENCES deliveries ON DELETE CASCADE,
  position int NOT NULL,
  team_id uuid NOT NULL,
  name text NOT NULL,
  content_type text NOT NULL,
  data bytea NOT NULL,
  PRIMARY KEY (delivery_id, position)
);

CREATE TABLE delivery_attempts (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  delivery_id uuid NOT NULL REFERENCES deliveries ON DELETE CASCADE,
  team_id uuid NOT NULL,
  number int NOT NULL,
  at timestamptz NOT NULL,
  milliseconds int NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('sent', 'failed', 'refused', 'gone')),
  status int NOT NULL DEFAULT 0,         -- of HTTP; 0: there was none
  request text NOT NULL DEFAULT '',
  response text NOT NULL DEFAULT '',
  error text NOT NULL DEFAULT ''
);
CREATE INDEX delivery_attempts_delivery ON delivery_attempts (delivery_id, id);

-- Records that gather until a message of them is full, or its time has come.
CREATE TABLE batch_parts (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  team_id uuid NOT NULL,
  sink_id uuid NOT NULL,
  pipeline_id uuid NOT NULL,
  records json NOT NULL,                 -- an array
  count int NOT NULL,
  bytes int NOT NULL,
  due_at timestamptz NOT NULL
);
CREATE INDEX batch_parts_sink ON batch_parts (sink_id, pipeline_id, id);
CREATE INDEX batch_parts_due ON batch_parts (due_at);

DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['sinks', 'sink_pipelines', 'sink_health', 'deliveries', 'delivery_files', 'delivery_attempts', 'batch_parts'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY team ON %I FOR ALL TO dash_app USING (team_id = dash.current_team()) WITH CHECK (team_id = dash.current_team())', t);
    EXECUTE format('CREATE POLICY everyone ON %I FOR ALL TO dash_ingest USING (true) WITH CHECK (true)', t);
    EXECUTE format('GRANT ALL ON %I TO dash_ingest', t);
  END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE, DELETE ON sinks, sink_pipelines TO dash_app;
GRANT SELECT, INSERT, UPDATE ON sink_health, deliveries TO dash_app;
GRANT SELECT, INSERT ON delivery_files, delivery_attempts TO dash_app;
GRANT SELECT, DELETE ON batch_parts TO dash_app;

-- Has the workers look at these sinks once this is committed. Where a task waits for one already that is enough, unless it
-- is urgent: that task may be taken before this commit, and the clock finds what it missed a second later.
CREATE FUNCTION ring_sinks(wanted uuid[], urgent boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = dash, pg_temp AS $$
DECLARE
  queued CONSTANT text[] := CASE WHEN urgent THEN '{}' ELSE ARRAY(
    SELECT convert_from(data, 'UTF8')::json -> 6 ->> 0 FROM huey_task WHERE queue = 'deliver') END;
  one text;
BEGIN
  FOR one IN SELECT DISTINCT w::text FROM unnest(wanted) AS w WHERE w::text <> ALL (queued) LOOP
    PERFORM enqueue('deliver', 'dash_app.pipelines.tasks.deliver', one, CASE WHEN urgent THEN 1 ELSE 0 END);
  END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION ring_sinks(uuid[], boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ring_sinks(uuid[], boolean) TO dash_app, dash_ingest;

RESET ROLE;
SET LOCAL search_path = "$user", public;
