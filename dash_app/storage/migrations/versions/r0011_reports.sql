-- Scheduled reports of dashboards.
SET LOCAL search_path = dash, pg_temp;
SET LOCAL ROLE dash_owner;

CREATE TABLE reports (
  id uuid PRIMARY KEY,
  team_id uuid NOT NULL REFERENCES teams,
  slug text NOT NULL CHECK (slug ~ '^[a-z][a-z0-9_]{0,40}$'),
  name text NOT NULL,
  dashboard text NOT NULL,               -- its uid: no reference, so that one who comes back finds its reports
  document jsonb NOT NULL,
  cron text NOT NULL,
  timezone text NOT NULL,
  enabled boolean NOT NULL DEFAULT true,
  next_at timestamptz,                   -- when it is due; NULL while it is off
  revision int NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  created_by text NOT NULL DEFAULT '',
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_by text NOT NULL DEFAULT '',
  UNIQUE (team_id, slug)
);
CREATE INDEX reports_due ON reports (next_at) WHERE enabled;

CREATE TABLE report_sinks (
  report_id uuid NOT NULL REFERENCES reports ON DELETE CASCADE,
  sink_id uuid NOT NULL REFERENCES sinks ON DELETE CASCADE,
  team_id uuid NOT NULL,
  PRIMARY KEY (report_id, sink_id)
);
CREATE INDEX report_sinks_sink ON report_sinks (sink_id);

-- Each time that a report was due or asked for. Made once, however many workers there are: whoever has the lease makes it,
-- and the messages are put into the outbox in the transaction that says it is done.
CREATE TABLE report_runs (
  id uuid PRIMARY KEY,
  report_id uuid NOT NULL REFERENCES reports ON DELETE CASCADE,
  team_id uuid NOT NULL,
  due_at timestamptz NOT NULL,
  asked_by text NOT NULL DEFAULT '',     -- who asked for it; '': the calendar
  state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'done', 'failed')),
  attempts int NOT NULL DEFAULT 0,
  lease_until timestamptz,
  error text NOT NULL DEFAULT '',
  messages text[] NOT NULL DEFAULT '{}', -- ids of what was put into the outbox
  bytes bigint NOT NULL DEFAULT 0,       -- of its files
  done_at timestamptz
);
CREATE UNIQUE INDEX report_runs_due ON report_runs (report_id, due_at) WHERE asked_by = '';
CREATE INDEX report_runs_report ON report_runs (report_id, id DESC);
CREATE INDEX report_runs_queued ON report_runs (lease_until) WHERE state = 'queued';

DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['reports', 'report_sinks', 'report_runs'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY team ON %I FOR ALL TO dash_app USING (team_id = dash.current_team()) WITH CHECK (team_id = dash.current_team())', t);
    EXECUTE format('CREATE POLICY everyone ON %I FOR ALL TO dash_ingest USING (true) WITH CHECK (true)', t);
    EXECUTE format('GRANT ALL ON %I TO dash_ingest', t);
  END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE, DELETE ON reports, report_sinks TO dash_app;
GRANT SELECT, INSERT ON report_runs TO dash_app;

-- Has a worker make a run once this is committed.
CREATE FUNCTION ring_report(run uuid) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = dash, pg_temp AS $$
  SELECT enqueue('io', 'dash_app.pipelines.tasks.report', run::text, 1);
$$;
REVOKE EXECUTE ON FUNCTION ring_report(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ring_report(uuid) TO dash_app, dash_ingest;

RESET ROLE;
SET LOCAL search_path = "$user", public;
