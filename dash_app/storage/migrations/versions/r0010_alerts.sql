-- Alert rules, their states and events, silences and maintenance windows.
SET LOCAL search_path = dash, pg_temp;
SET LOCAL ROLE dash_owner;

CREATE TABLE alerts (
  id uuid PRIMARY KEY,
  team_id uuid NOT NULL REFERENCES teams,
  slug text NOT NULL CHECK (slug ~ '^[a-z][a-z0-9_]{0,40}$'),
  name text NOT NULL,
  severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
  labels jsonb NOT NULL DEFAULT '{}',
  pipeline_id uuid NOT NULL REFERENCES pipelines,
  document jsonb NOT NULL,
  enabled boolean NOT NULL DEFAULT true,
  error text NOT NULL DEFAULT '',        -- why it cannot be evaluated now; '': it can
  revision int NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  created_by text NOT NULL DEFAULT '',
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_by text NOT NULL DEFAULT '',
  UNIQUE (team_id, slug)
);
CREATE INDEX alerts_pipeline ON alerts (pipeline_id) WHERE enabled;

-- Sinks that a rule tells, so that a sink knows who uses it.
CREATE TABLE alert_sinks (
  alert_id uuid NOT NULL REFERENCES alerts ON DELETE CASCADE,
  sink_id uuid NOT NULL,
  team_id uuid NOT NULL,
  PRIMARY KEY (alert_id, sink_id)
);
CREATE INDEX alert_sinks_sink ON alert_sinks (sink_id);

-- Where each series of a rule stands. Values are those of the last change, and for what is not ok of some seconds ago.
CREATE TABLE alert_states (
  alert_id uuid NOT NULL REFERENCES alerts ON DELETE CASCADE,
  series text NOT NULL,                  -- the values of `by` as JSON; {}: the rule has but one
  team_id uuid NOT NULL,
  state text NOT NULL CHECK (state IN ('ok', 'pending', 'firing', 'no_data')),
  since timestamptz,
  value float8,
  good_since timestamptz,
  told text NOT NULL DEFAULT '' CHECK (told IN ('', 'firing', 'no_data')),
  told_at timestamptz,
  quiet boolean NOT NULL DEFAULT false,
  acknowledged_at timestamptz,
  acknowledged_by text NOT NULL DEFAULT '',
  note text NOT NULL DEFAULT '',
  seen_at timestamptz,                   -- when it last had data, to about a day
  PRIMARY KEY (alert_id, series)
) WITH (fillfactor = 70);
CREATE INDEX alert_states_open ON alert_states (team_id, state) WHERE state <> 'ok';

CREATE TABLE alert_events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  alert_id uuid NOT NULL REFERENCES alerts ON DELETE CASCADE,
  team_id uuid NOT NULL,
  series text NOT NULL,
  at timestamptz NOT NULL,
  what text NOT NULL,                    -- pending, firing, no_data, resolved, cleared, repeated, told, acknowledged
  value float8,
  told boolean NOT NULL DEFAULT false,   -- whether receivers were told
  muted text NOT NULL DEFAULT '',        -- why not: the silence or window that held, or that history was rewritten
  by text NOT NULL DEFAULT '',           -- who, for what people do
  note text NOT NULL DEFAULT ''
);
CREATE INDEX alert_events_alert ON alert_events (alert_id, id DESC);
CREATE INDEX alert_events_time ON alert_events (team_id, at DESC);
-- For what is removed after its time.
CREATE INDEX alert_events_at ON alert_events (at);
CREATE INDEX alert_events_passing ON alert_events (at) WHERE what IN ('pending', 'cleared');

CREATE TABLE silences (
  id uuid PRIMARY KEY,
  team_id uuid NOT NULL REFERENCES teams,
  matchers jsonb NOT NULL,               -- {"alert": …, "severity": …, "<label>": …, "<dimension>": …}
  starts_at timestamptz NOT NULL,
  ends_at timestamptz NOT NULL CHECK (ends_at > starts_at),
  comment text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  created_by text NOT NULL DEFAULT ''
);
CREATE INDEX silences_end ON silences (team_id, ends_at);
CREATE INDEX silences_ended ON silences (ends_at);

CREATE TABLE maintenance_windows (
  id uuid PRIMARY KEY,
  team_id uuid NOT NULL REFERENCES teams,
  name text NOT NULL,
  document jsonb NOT NULL,               -- matchers, pipelines, and cron with zone and duration or from and to
  revision int NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  created_by text NOT NULL DEFAULT ''
);
CREATE INDEX maintenance_windows_team ON maintenance_windows (team_id);

-- One row for each pipeline that has rules: who evaluates holds its lock, and all of the pipeline's rules with it.
CREATE TABLE alert_turns (
  pipeline_id uuid PRIMARY KEY REFERENCES pipelines,
  team_id uuid NOT NULL,
  changes bigint NOT NULL DEFAULT 0,     -- grows when rules, states, silences or windows are changed by somebody else
  holder text NOT NULL DEFAULT '',       -- the evaluator that has looked last, and knows the states
  generation int NOT NULL DEFAULT 0,     -- of the pipeline, when it looked
  ingested timestamptz,                  -- the pipeline's last_ingested, when it looked
  pace float8 NOT NULL DEFAULT 1,        -- seconds between two looks while records come
  evaluated_at timestamptz,
  next_at timestamptz NOT NULL DEFAULT '-infinity'  -- when the clock alone asks for the next look
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['alerts', 'alert_sinks', 'alert_states', 'alert_events', 'silences', 'maintenance_windows', 'alert_turns'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY team ON %I FOR ALL TO dash_app USING (team_id = dash.current_team()) WITH CHECK (team_id = dash.current_team())', t);
    EXECUTE format('CREATE POLICY everyone ON %I FOR ALL TO dash_ingest USING (true) WITH CHECK (true)', t);
    EXECUTE format('GRANT ALL ON %I TO dash_ingest', t);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO dash_app', t);
  END LOOP;
END $$;
REVOKE UPDATE, DELETE ON alert_events FROM dash_app;
RESET ROLE;
SET LOCAL search_path = "$user", public;
